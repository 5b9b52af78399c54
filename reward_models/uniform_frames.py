"""Progress from frames spread evenly over what was seen: what EVOLVE-VLA's ablation sets its milestones against.

Source: arXiv 2512.14666, its ablation "uniform sampling" of 4 and 8 frames. At every check the frames are spread anew
from the first to the present one and the hops between neighbours accumulate from 0, so that a check asks the critic
``count`` - 1 times (the paper's 96 and 224 calls for 32 checks) where milestones ask it once. How the paper adds its
hops up is not printed; here it is the same recursion rule.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from robo_reward.reward_models.hops import Rule, accumulate
from robo_reward.reward_models.milestones import Critic, Hops, MilestoneTracker, milestone_progress


def spread(frame: int, count: int) -> list[int]:
    """At most ``count`` different frames from 0 to ``frame``, evenly spread; fewer where there are fewer."""
    return [int(k) for k in np.unique(np.linspace(0, frame, count).round())]


def uniform_progress(critic: Critic, frames: int, *, count: int, rule: Rule = "remaining_gap") -> NDArray[np.float32]:
    """Progress at each of ``frames`` frames, (frames,) in [0, 1], each from a spread of its own; frame 0 is 0."""
    values = np.zeros(frames, np.float32)
    for frame in range(1, frames):
        hops = [critic(before, after) for before, after in pairwise(spread(frame, count))]
        values[frame] = _added(hops, rule)
    return values


class UniformTracker(MilestoneTracker):
    """As ``uniform_progress``, of N worlds that are stepped side by side: every frame's embedding is kept."""

    def __init__(self, count: int, rule: Rule) -> None:
        super().__init__(None, rule)
        self._count = count
        self._paths: list[list[torch.Tensor]] = []

    def begin(self, z: torch.Tensor, fresh: NDArray[np.bool_]) -> None:
        """Worlds where ``fresh`` (N,) is True start anew at the embeddings ``z`` (N, Z)."""
        anew = fresh if len(self._paths) == len(fresh) else np.ones(len(fresh), bool)
        super().begin(z, fresh)
        kept = zip(self._paths or [[] for _ in fresh], z, anew, strict=True)
        self._paths = [[first] if new else path for path, first, new in kept]

    def advance(self, hops: Hops, z: torch.Tensor, look: NDArray[np.bool_]) -> None:
        """Takes the frame ``z`` (N, Z) of the worlds where ``look`` (N,) is True and asks about the spread anew."""
        for world in np.flatnonzero(look):
            path = self._paths[world]
            path.append(z[world])
            chosen = torch.stack([path[k] for k in spread(len(path) - 1, self._count)])
            found = hops(chosen[:-1], chosen[1:], np.full(len(chosen) - 1, world))
            self._values[world].append(_added(found.tolist(), self._rule))


def progress_along(
    critic: Critic, frames: int, interval: int | None, uniform: int | None, rule: Rule
) -> NDArray[np.float32]:
    """Progress (frames,) by milestones every ``interval`` frames, or by ``uniform`` frames spread evenly if it says."""
    if uniform is None:
        return milestone_progress(critic, frames, interval=interval, rule=rule)
    return uniform_progress(critic, frames, count=uniform, rule=rule)


def _added(hops: list[float], rule: Rule) -> float:
    value = 0.0
    for hop in hops:
        value = accumulate(value, hop, rule)
    return value
