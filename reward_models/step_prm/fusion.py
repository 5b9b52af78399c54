"""Progress from hops of three perspectives: from the moment before, from the start, and back from the goal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from robo_reward.contracts import Floats
from robo_reward.errors import UserError, unknown_name

Perspective = Literal["fused", "incremental", "forward", "backward"]
PERSPECTIVES: tuple[Perspective, ...] = ("fused", "incremental", "forward", "backward")
_EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class Hops:
    """Hops (N,) in [-1, 1] to one moment: ``step`` from the moment before, ``start`` from the episode's first frame,
    ``goal`` from the goal; NaN in ``goal`` where there is none."""

    step: Floats
    start: Floats
    goal: Floats

    def at(self, index: slice) -> Hops:
        """The rows that ``index`` selects."""
        return Hops(self.step[index], self.start[index], self.goal[index])


def increment(progress: Floats, hop: Floats) -> Floats:
    """What a hop adds (N,): a share of what is left, or of what was covered (arXiv 2512.23703 Eq. 4)."""
    added: Floats = np.where(hop >= 0, (1 - progress) * hop, progress * hop).astype(np.float32)
    return added


def consistency_weight(forward: Floats, backward: Floats, alpha: float) -> Floats:
    """w = exp(-alpha d^2), d = |backward - forward| / their mean: 1 where the two anchored perspectives agree."""
    apart = np.abs(backward - forward) / ((forward + backward) / 2 + _EPSILON)
    weight: Floats = np.exp(-alpha * apart**2).astype(np.float32)
    return weight


@dataclass(frozen=True, slots=True)
class Fusion:
    """How the next progress follows from the last one and three hops.

    ``perspective``: ``fused`` takes the mean of the three (Eq. 7), with the fused value as what the increment is added
    to; the others are ablations that keep to one. ``alpha``: None, or the strength of the consistency check (section
    2.6 of the notes; the paper has 20), which moves by (w / 2)(mean of the anchored two - last + increment) in place of
    the mean. Without a goal the backward perspective is left out and the mean is over those that are there.
    """

    perspective: Perspective = "fused"
    alpha: float | None = None

    def __post_init__(self) -> None:
        if self.perspective not in PERSPECTIVES:
            raise unknown_name("perspective", self.perspective, PERSPECTIVES)
        if self.alpha is not None and self.alpha < 0:
            raise UserError(f"consistency={self.alpha} must be 0 or more, or null for none")

    def __call__(self, last: Floats, hops: Hops) -> tuple[Floats, Floats]:
        """(progress, spread) each (N,): in [0, 1], and the standard deviation over the perspectives."""
        views = perspectives(last, hops)
        if self.perspective == "fused":
            progress = self._fused(last, hops, views)
        elif self.perspective == "backward":
            progress = np.where(np.isnan(views[2]), views[1], views[2])
        else:
            progress = views[0 if self.perspective == "incremental" else 1]
        return progress.clip(0, 1).astype(np.float32), np.nanstd(views, 0).astype(np.float32)

    def _fused(self, last: Floats, hops: Hops, views: Floats) -> Floats:
        if self.alpha is None:
            return np.asarray(np.nanmean(views, 0))
        forward, backward = views[1], np.where(np.isnan(views[2]), views[1], views[2])
        weight = consistency_weight(forward, backward, self.alpha)
        return np.asarray(last + weight / 2 * ((forward + backward) / 2 - last + increment(last, hops.step)))


def perspectives(last: Floats, hops: Hops) -> Floats:
    """(3, N) progress by increment, from the start and from the goal, each clipped to [0, 1]; NaN without a goal."""
    rows = [last + increment(last, hops.step), hops.start, 1 + hops.goal]
    seen: Floats = np.stack(rows).clip(0, 1).astype(np.float32)
    return seen
