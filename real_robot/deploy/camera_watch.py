"""Tells a camera that shows what is there now from one that is late, frozen, dark, of another size, or another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError

Picture = NDArray[np.uint8]
CELLS = 8
"""A picture is compared with a reference as CELLS x CELLS mean colours."""
MOST_SWAPPABLE = 5
"""Cameras of which every order is tried."""


@dataclass(frozen=True)
class CameraPlan:
    """What a picture may be like; times in seconds, brightness in 0..255."""

    age_periods: float = 2.5
    """Oldest that a picture may be, in periods of its camera."""
    frozen_time: float = 0.3
    frozen_move: float = 0.0
    """A picture that stays the same to the last bit for ``frozen_time`` is frozen, if meanwhile a joint moved so far.

    Real sensors are never without noise, so 0 suits them; a rendered picture of an arm at rest does stay the same.
    """
    dark: float = 6.0
    """Mean brightness below which a picture shows nothing."""
    swapped: bool = True
    """Whether pictures are compared with the reference of every view."""
    swap_margin: float = 8.0
    """By how much (mean difference of colours) another order of the cameras must fit better."""
    swap_looks: int = 5
    """In so many looks in a row."""

    def __post_init__(self) -> None:
        for name in ("age_periods", "frozen_time", "frozen_move", "dark", "swap_margin"):
            if not np.isfinite(getattr(self, name)):  # what is compared with NaN is never found wrong
                raise UserError(f"{name}={getattr(self, name)} must be a finite number")
        if self.age_periods < 1 or self.frozen_time <= 0 or self.swap_looks < 1:
            raise UserError(
                f"age_periods={self.age_periods} and swap_looks={self.swap_looks} must be 1 or more, "
                f"frozen_time={self.frozen_time} above 0"
            )


@dataclass(frozen=True, slots=True)
class Look:
    """The newest picture (H, W, 3) of one camera and when it came, in monotonic seconds."""

    picture: Picture
    taken_at: float


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why no policy may act on what the cameras show; ``lasting``: it will not mend itself."""

    reason: str
    lasting: bool = False


@dataclass
class CameraWatch:
    """``sizes``: view -> (height, width); ``fps``: view -> pictures a second; ``references``: view -> picture."""

    plan: CameraPlan
    sizes: Mapping[str, tuple[int, int]]
    fps: Mapping[str, float]
    references: Mapping[str, Picture] = field(default_factory=dict)
    _kept: dict[str, tuple[Picture, float, NDArray[np.float64]]] = field(default_factory=dict)
    _odd_looks: int = 0

    def judge(self, now: float, looks: Mapping[str, Look], joints: NDArray[np.float64]) -> Trouble | None:
        """What is wrong with the pictures at ``now``, while the joints are at (J,); None where nothing is."""
        for view, look in looks.items():
            trouble = self._one(view, look, now, joints)
            if trouble is not None:
                return trouble
        return self._order(looks)

    def _one(self, view: str, look: Look, now: float, joints: NDArray[np.float64]) -> Trouble | None:
        plan, size = self.plan, look.picture.shape[:2]
        if tuple(size) != self.sizes[view] or look.picture.ndim != 3:
            return Trouble(f"camera '{view}' gives pictures of {size}, not {self.sizes[view]}", lasting=True)
        oldest = plan.age_periods / self.fps[view]
        if now - look.taken_at > oldest:
            return Trouble(f"camera '{view}' is {now - look.taken_at:.2f} s old, more than {oldest:.2f} s")
        if float(look.picture.mean()) < plan.dark:
            return Trouble(f"camera '{view}' is dark")
        return self._frozen(view, look, joints)

    def _frozen(self, view: str, look: Look, joints: NDArray[np.float64]) -> Trouble | None:
        kept = self._kept.get(view)
        if kept is None or not np.array_equal(kept[0], look.picture):
            self._kept[view] = (look.picture, look.taken_at, joints.copy())
            return None
        _, since, then = kept
        moved = float(np.abs(joints - then).max())
        if look.taken_at - since > self.plan.frozen_time and moved >= self.plan.frozen_move:
            return Trouble(f"camera '{view}' is frozen: the same picture for {look.taken_at - since:.2f} s")
        return None

    def _order(self, looks: Mapping[str, Look]) -> Trouble | None:
        """Whether the cameras fit the references better in another order than in their own."""
        views = [view for view in looks if view in self.references]
        if not self.plan.swapped or not 2 <= len(views) <= MOST_SWAPPABLE:
            return None
        costs = differences([looks[view].picture for view in views], [self.references[view] for view in views])
        own = float(np.trace(costs))
        best = min(permutations(range(len(views))), key=lambda order: sum(costs[i, k] for i, k in enumerate(order)))
        better = own - float(sum(costs[i, k] for i, k in enumerate(best)))
        self._odd_looks = self._odd_looks + 1 if better > self.plan.swap_margin * len(views) else 0
        if self._odd_looks < self.plan.swap_looks:
            return None
        shown = ", ".join(f"'{view}' shows '{views[k]}'" for view, k in zip(views, best, strict=True))
        return Trouble(f"the cameras are swapped: {shown}", lasting=True)


def differences(pictures: list[Picture], references: list[Picture]) -> NDArray[np.float64]:
    """(P, R): mean absolute difference of the coarse colours of each picture to each reference."""
    coarse, known = [_coarse(p) for p in pictures], [_coarse(r) for r in references]
    return np.array([[float(np.abs(a - b).mean()) for b in known] for a in coarse])


def _coarse(picture: Picture) -> NDArray[np.float64]:
    rows = np.array_split(np.arange(picture.shape[0]), CELLS)
    columns = np.array_split(np.arange(picture.shape[1]), CELLS)
    upright = np.add.reduceat(picture.astype(np.float64), [r[0] for r in rows], axis=0)
    cells = np.add.reduceat(upright, [c[0] for c in columns], axis=1)
    counts = np.outer([len(r) for r in rows], [len(c) for c in columns])
    return np.asarray(cells / counts[:, :, None])
