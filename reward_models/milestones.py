"""EVOLVE-VLA's accumulative milestone estimation: hops from the last milestone, added up by a recursion rule.

Source: arXiv 2512.14666 section 3, in the consistent reading of its index: the reference of frame t is milestone
(t - 1) // interval. Frames are those that are priced (``stride`` steps apart, the paper's D_check), ``interval`` of
them lie between milestones (D_milestone = stride * interval; the paper's example is 64 steps). Without an interval the
first frame is the only reference: the paper's two-frame baseline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from robo_reward.errors import UserError
from robo_reward.reward_models.hops import Rule, accumulate

Critic = Callable[[int, int], float]
"""The signed hop in [-1, 1] from frame i to frame j of one episode."""
Hops = Callable[[torch.Tensor, torch.Tensor, NDArray[np.int64]], NDArray[np.float32]]
"""Hops (K,) from embeddings (K, Z) to embeddings (K, Z) of the worlds (K,)."""


@dataclass(slots=True)
class MilestoneWalk:
    """One episode's accumulation, one hop a frame.

    ``reference``: the frame that the next hop must start from. ``value`` in [0, 1]: the provisional progress of the
    last frame, which is kept only where that frame becomes a milestone.
    """

    interval: int | None
    rule: Rule = "remaining_gap"
    reference: int = 0
    frame: int = 0
    value: float = 0.0
    kept: float = 0.0

    def __post_init__(self) -> None:
        if self.interval is not None and self.interval < 1:
            raise UserError(f"milestone interval {self.interval} must be at least 1 frame")

    def advance(self, hop: float) -> bool:
        """Takes the hop from ``reference`` to the next frame; True where that frame has become the reference."""
        self.frame += 1
        self.value = accumulate(self.kept, hop, self.rule)
        if self.interval is None or self.frame % self.interval:
            return False
        self.kept, self.reference = self.value, self.frame
        return True


def milestone_progress(
    critic: Critic, frames: int, *, interval: int | None, rule: Rule = "remaining_gap"
) -> NDArray[np.float32]:
    """Progress at each of ``frames`` frames, (frames,) in [0, 1]; frame 0 is 0. The last one is the paper's reward.

    Every ``interval`` frames (None: never) the current frame becomes a milestone and its value is kept; between
    milestones the value is provisional: the kept value plus one hop from the last. The critic is asked once a frame.

    Raises:
        UserError: for an interval below 1.
    """
    walk = MilestoneWalk(interval, rule)
    values = np.zeros(frames, np.float32)
    for frame in range(1, frames):
        walk.advance(critic(walk.reference, frame))
        values[frame] = walk.value
    return values


class MilestoneTracker:
    """The walks of N worlds that are stepped side by side; ``references`` (N, Z) are what the next hops start from."""

    def __init__(self, interval: int | None, rule: Rule) -> None:
        self._interval = interval
        self._rule: Rule = rule
        self._walks: list[MilestoneWalk] = []
        self._values: list[list[float]] = []
        self.references = torch.zeros(0, 0)

    def begin(self, z: torch.Tensor, fresh: NDArray[np.bool_]) -> None:
        """Worlds where ``fresh`` (N,) is True start anew at the embeddings ``z`` (N, Z)."""
        if len(self._walks) != len(fresh):
            fresh = np.ones(len(fresh), bool)
            self._walks = [MilestoneWalk(self._interval, self._rule) for _ in fresh]
            self._values, self.references = [[0.0] for _ in fresh], z.clone()
        for world in np.flatnonzero(fresh):
            self._walks[world] = MilestoneWalk(self._interval, self._rule)
            self._values[world] = [0.0]
            self.references[world] = z[world]

    def advance(self, hops: Hops, z: torch.Tensor, look: NDArray[np.bool_]) -> None:
        """Takes the hops from ``references`` to ``z`` (N, Z) of the worlds where ``look`` (N,) is True.

        Worlds whose episodes began at different steps are due at different steps: a look that is not theirs must not
        count as one of the ``interval`` frames between their milestones.
        """
        found = hops(self.references, z, np.arange(len(look)))
        for world in np.flatnonzero(look):
            walk = self._walks[world]
            if walk.advance(float(found[world])):
                self.references[world] = z[world]
            self._values[world].append(walk.value)

    def progress(self) -> NDArray[np.float32]:
        """The provisional progress (N,) of the last frames."""
        return np.asarray([values[-1] for values in self._values], np.float32)

    def held(self, threshold: float, consecutive: int) -> NDArray[np.float32]:
        """``held_above`` at the last frames, (N,)."""
        ends = [held_above(np.asarray(v, np.float32), threshold, consecutive)[-1] for v in self._values]
        return np.asarray(ends, np.float32)


def check_threshold(threshold: float | None, consecutive: int, head: str = "milestones") -> None:
    """Refuses a threshold outside (0, 1) or of another head, and fewer than 1 check.

    Raises:
        UserError: that names the value and its bound.
    """
    if threshold is not None and head != "milestones":
        raise UserError(f"threshold={threshold:g} belongs to head=milestones, this one is {head}")
    if threshold is not None and not 0 < threshold < 1:
        raise UserError(f"threshold={threshold:g} must be above 0 and below 1: it is a progress")
    if consecutive < 1:
        raise UserError(f"consecutive={consecutive} must be at least 1 check")


def held_above(values: NDArray[np.float32], threshold: float, consecutive: int) -> NDArray[np.float32]:
    """1 from the check on at which progress has been above ``threshold`` ``consecutive`` times in a row, (F,); else 0.

    The paper ends an episode at the first check above the threshold; one noisy check would cut off a good episode, so
    several in a row are asked for (1: the paper's rule). What has ended stays ended.
    """
    run, out = 0, np.zeros(len(values), np.float32)
    for check, value in enumerate(values):
        run = run + 1 if value > threshold else 0
        if run >= consecutive:
            out[check:] = 1.0
            break
    return out
