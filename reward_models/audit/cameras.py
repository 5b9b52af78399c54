"""What cameras show that are covered, shaded, exchanged, noisy or knocked: the disturbances of the camera probes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robo_reward.reward_models.audit.probes import Paint
from robo_reward.trace import Trace

GREY = 127
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
HALVES = (
    *((slice(a, a + 2), slice(None)) for a in (0, 1, 2)),
    *((slice(None), slice(a, a + 2)) for a in (0, 2)),
)
"""(rows, columns) in quarters of the picture: its upper, middle and lower half, and those to the left and right."""


def covers(trace: Trace, rng: np.random.Generator) -> Sequence[Paint]:
    """Something before the lens: each view, then all, dark, grey or dazzled; all red, green, blue, and each of its own
    mean colour; then a shadow: 60% of the light.
    """
    groups = [(view,) for view in trace.frames] + [tuple(trace.frames)] * (len(trace.frames) > 1)
    whole = [_cover(group, value) for group in groups for value in (8, GREY, 255)]
    coloured = [_cover(groups[-1], colour) for colour in COLOURS]
    return [*whole, *coloured, _blank, _shadow]


def half_covers(trace: Trace, rng: np.random.Generator) -> Sequence[Paint]:
    """Something grey before half of every picture: above, across the middle, below, left, right."""
    return [_half(rows, columns) for rows, columns in HALVES]


def swaps(trace: Trace, rng: np.random.Generator) -> Sequence[Paint]:
    """Cables exchanged: every view shows the next one; nothing with a single view or with sizes that differ."""
    views = list(trace.frames)
    if len(views) < 2 or len({frames.shape[1:] for frames in trace.frames.values()}) > 1:
        return []
    return [_exchange(trace, dict(zip(views, views[1:] + views[:1], strict=True)))]


def grain(trace: Trace, rng: np.random.Generator) -> Sequence[Paint]:
    """Gaussian sensor noise with a standard deviation of 12 of 255, drawn anew for each pixel."""

    def paint(view: str, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        noise = np.random.default_rng(seed).normal(0, 12, frames.shape)
        return np.clip(np.round(frames + noise), 0, 255).astype(np.uint8)

    seed = int(rng.integers(2**31))
    return [paint]


def shifts(trace: Trace, rng: np.random.Generator) -> Sequence[Paint]:
    """A camera that was knocked: the picture 5% to the left, right, up and down; the border is repeated."""
    return [_shift(axis, share) for axis in (2, 1) for share in (0.05, -0.05)]


def _cover(group: Sequence[str], value: int | tuple[int, int, int]) -> Paint:
    return lambda view, frames: np.full_like(frames, value) if view in group else frames


def _half(rows: slice, columns: slice) -> Paint:
    def paint(view: str, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        covered, (height, width) = frames.copy(), frames.shape[1:3]
        covered[:, _quarters(rows, height), _quarters(columns, width)] = GREY
        return covered

    return paint


def _quarters(part: slice, size: int) -> slice:
    return part if part.start is None else slice(part.start * size // 4, part.stop * size // 4)


def _blank(view: str, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.broadcast_to(frames.mean((0, 1, 2)).round(), frames.shape).astype(np.uint8)


def _shadow(view: str, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return (frames * np.float32(0.6)).astype(np.uint8)


def _exchange(trace: Trace, source: dict[str, str]) -> Paint:
    first = {view: frames[:1] for view, frames in trace.frames.items()}
    moving = trace.frames

    def paint(view: str, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        other = moving[source[view]]
        # an idle episode shows the other camera's first frame, a demonstration its frame of the same moment
        still = (frames == first[view]).all()
        return np.broadcast_to(first[source[view]], frames.shape).copy() if still else other.copy()

    return paint


def _shift(axis: int, share: float) -> Paint:
    def paint(view: str, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        size = frames.shape[axis]
        pixels = max(1, round(abs(share) * size))
        places = np.clip(np.arange(size) + (pixels if share < 0 else -pixels), 0, size - 1)
        return frames.take(places, axis)

    return paint
