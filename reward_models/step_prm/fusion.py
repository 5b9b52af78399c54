"""Progress from hops of three perspectives: from the moment before, from the start, and back from the goal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Floats
from robo_reward.errors import UserError, unknown_name

Perspective = Literal["fused", "incremental", "forward", "backward"]
PERSPECTIVES: tuple[Perspective, ...] = ("fused", "incremental", "forward", "backward")
_EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class Hops:
    """Hops (N,) in [-1, 1] to one moment: ``step`` from the moment before, ``start`` from the episode's first frame,
    ``goal`` from the goal; NaN in ``goal`` where there is none, and in any where no answer could be read: ``unread``
    (3, N), None where all could."""

    step: Floats
    start: Floats
    goal: Floats
    unread: NDArray[np.bool_] | None = None

    def at(self, index: slice) -> Hops:
        """The rows that ``index`` selects."""
        unread = None if self.unread is None else self.unread[:, index]
        return Hops(self.step[index], self.start[index], self.goal[index], unread)


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
    the mean. Without a goal the backward perspective is left out and the mean is over those that are there; so is one
    whose answer could not be read, but then progress does not rise above the last one, and the spread is 1: what nobody
    read must not pay.
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
        views = np.where(np.isnan(views).all(0), last, views)
        if self.perspective == "fused":
            progress = self._fused(last, hops, views)
        elif self.perspective == "backward":
            progress = np.where(np.isnan(views[2]), views[1], views[2])
        else:
            progress = views[0 if self.perspective == "incremental" else 1]
        progress = np.where(np.isnan(progress), last, progress).clip(0, 1)
        spread = np.nanstd(views, 0)
        if hops.unread is not None:
            unread = hops.unread[self._reads].any(0)
            if self.perspective == "backward":  # without a goal it is the start's
                unread |= np.isnan(hops.goal) & hops.unread[1]
            progress, spread = np.where(unread, np.minimum(progress, last), progress), np.where(unread, 1.0, spread)
        return progress.astype(np.float32), spread.astype(np.float32)

    @property
    def _reads(self) -> slice:
        """The rows of hops that this perspective is made of."""
        if self.perspective == "fused":
            return slice(0, 3)
        row = PERSPECTIVES.index(self.perspective) - 1
        return slice(row, row + 1)

    def _fused(self, last: Floats, hops: Hops, views: Floats) -> Floats:
        if self.alpha is None:
            return np.asarray(np.nanmean(views, 0))
        forward, backward = (np.where(np.isnan(one), other, one) for one, other in (views[[1, 2]], views[[2, 1]]))
        forward, backward = (np.where(np.isnan(one), last, one) for one in (forward, backward))
        weight = consistency_weight(forward, backward, self.alpha)
        added = increment(last, np.nan_to_num(hops.step))
        return np.asarray(last + weight / 2 * ((forward + backward) / 2 - last + added), np.float32)


def perspectives(last: Floats, hops: Hops) -> Floats:
    """(3, N) progress by increment, from the start and from the goal, each clipped to [0, 1]; NaN where a hop is."""
    rows = [last + increment(last, hops.step), hops.start, 1 + hops.goal]
    seen: Floats = np.stack(rows).clip(0, 1).astype(np.float32)
    return seen
