"""Ground to walk on: heights on a periodic grid, for MuJoCo's height field and for looking up what is underfoot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError, unknown_name

Array = NDArray[np.float64]
Kind = Literal["flat", "slippery", "slope", "stairs", "rough"]
KINDS: tuple[Kind, ...] = get_args(Kind)
PERIOD = 10.0
"""Metres after which every terrain repeats, so that walkers can be carried back without noticing."""
HALF = 15.0
"""Metres from the middle of the height field to its edge."""
CELL = 0.05
"""Metres between two samples of the height field."""


@dataclass(frozen=True, slots=True)
class Terrain:
    """``kind`` of ground and how hard it is, ``difficulty`` in (0, 1].

    At difficulty 1: slippery has friction 0.1, slopes rise by 20 degrees, stairs by 0.1 m every 0.5 m, rough ground
    by up to 0.08 m. Slopes and stairs go up for 5 m in x, then down again.
    """

    kind: Kind = "flat"
    difficulty: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown_name("terrain", self.kind, KINDS)
        if not 0.0 < self.difficulty <= 1.0:
            raise UserError(f"env.difficulty={self.difficulty} must lie above 0 and at most at 1")

    @property
    def friction(self) -> float:
        """Sliding friction between feet and ground."""
        return 0.8 - 0.7 * self.difficulty if self.kind == "slippery" else 0.8

    @property
    def even(self) -> bool:
        """Whether it is a plane, which is cheaper than a height field."""
        return self.kind in ("flat", "slippery")

    def patch(self) -> Array:
        """(P, P) heights in metres over one period, row by y, column by x; none is below 0."""
        count = round(PERIOD / CELL)
        x = np.arange(count) * CELL
        ramp = PERIOD / 2 - np.abs(x - PERIOD / 2)
        if self.kind == "slope":
            line = ramp * np.tan(np.radians(20.0 * self.difficulty))
        elif self.kind == "stairs":
            line = np.floor(ramp / 0.5 + 1e-9) * 0.1 * self.difficulty
        elif self.kind == "rough":
            return _rough(count, 0.08 * self.difficulty)
        else:
            line = np.zeros(count)
        return np.tile(line, (count, 1))

    def field(self) -> Array:
        """(R, R) heights of the whole height field, which spans +-``HALF`` metres around the middle."""
        patch = self.patch()
        steps = np.arange(-round(HALF / CELL), round(HALF / CELL) + 1) % len(patch)
        return np.asarray(patch[np.ix_(steps, steps)])


def _rough(count: int, height: float) -> Array:
    """Smooth bumps a few decimetres across, the same in every run."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0.0, height, (count // 4, count // 4))
    coarse -= coarse.min()  # MuJoCo shifts a height field so that its lowest point is at 0
    coarse = np.pad(coarse, ((0, 1), (0, 1)), mode="wrap")
    at = np.arange(count) / 4.0
    low = at.astype(int)
    part = at - low
    rows = coarse[low] * (1 - part)[:, None] + coarse[low + 1] * part[:, None]
    return np.asarray(rows[:, low] * (1 - part) + rows[:, low + 1] * part)


class Ground:
    """Looks up heights underfoot. ``patch`` (P, P) is one period of the terrain."""

    def __init__(self, terrain: Terrain) -> None:
        self.even = terrain.even
        self._patch = terrain.patch()

    def height(self, xy: Array) -> Array:
        """(N,) height in metres at points (N, 2), bilinear between the samples."""
        if self.even:
            return np.zeros(len(xy))
        count = len(self._patch)
        at = (xy / CELL) % count
        low = np.floor(at).astype(int)
        part = at - low
        x0, y0 = (low % count).T
        x1, y1 = (x0 + 1) % count, (y0 + 1) % count
        px, py = part.T
        near = self._patch[y0, x0] * (1 - px) + self._patch[y0, x1] * px
        far = self._patch[y1, x0] * (1 - px) + self._patch[y1, x1] * px
        return np.asarray(near * (1 - py) + far * py)

    def carried_back(self, xy: Array) -> Array:
        """The same points (N, 2) of the repeating terrain, less than a period from the middle."""
        return np.where(np.abs(xy) > PERIOD, xy - PERIOD * np.round(xy / PERIOD), xy)
