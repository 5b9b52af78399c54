"""Grasps of things wider than the hand (mugs, pans, pots): both fingers free, material between them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.libero_experts.boxes import contains
from robo_reward.envs.libero_experts.hand import turned_about_up

Floats = NDArray[np.float64]
Found = tuple[float, Floats, Floats, float, float]
"""Cost, place (3,), turn (3, 3), yaw in degrees, width in metres."""

LINE = np.linspace(-0.036, 0.036, 19)
"""Metres across, between the open fingers."""
PADS = np.array([[a, b, -c] for b in (-0.007, 0, 0.007) for c in (-0.006, 0, 0.008) for a in LINE])
FINGERS = np.array(
    [
        [side * a, b, -c]
        for side in (-1, 1)
        for a in (0.041, 0.05, 0.062)
        for b in (-0.012, 0, 0.012)
        for c in (-0.009, 0.01, 0.03)
    ]
)
PALM = np.array(
    [[a, b, -c] for a in (-0.1, -0.06, -0.02, 0.02, 0.06, 0.1) for b in (-0.03, 0.03) for c in (0.036, 0.07)]
)
FINGER = 0.032
"""Metres from fingertips to palm: the thing may not reach higher."""
FREE = np.concatenate([FINGERS, PALM])


def search(centre: Floats, axes: Floats, half: Floats, most: int = 40) -> list[Found]:
    """At most ``most`` grasps of a thing made of oriented boxes, cheapest first, that differ."""

    def filled(points: Floats, margin: float = 0.0) -> NDArray[np.bool_]:
        hit = np.zeros(len(points), bool)
        for box in range(len(centre)):
            hit |= contains(points, centre[box : box + 1], axes[box : box + 1], half[box : box + 1] + margin)[:, 0]
        return hit

    low, high = _bounds(centre, axes, half)
    grid = _grid(low, high)
    grid = grid[filled(grid, 0.012)]
    found: list[Found] = []
    for yaw in range(-90, 90, 15):
        turn = turned_about_up(np.radians(yaw))
        between = filled((grid[:, None] + PADS @ turn.T).reshape(-1, 3)).reshape(len(grid), 9, len(LINE))
        covered = between.any(2).sum(1)
        middle = (between * LINE).sum((1, 2)) / np.maximum(between.sum((1, 2)), 1)
        width = np.where(between, LINE, -9).max((1, 2)) - np.where(between, LINE, 9).min((1, 2))
        fits = (covered >= 6) & (np.abs(middle) < 0.008) & (width < 0.066)
        if not fits.any():
            continue
        place = grid[fits] + middle[fits, None] * turn[:, 0]
        hit = filled((place[:, None] + FREE @ turn.T).reshape(-1, 3), 0.001).reshape(len(place), -1).any(1)
        off = np.linalg.norm(place[:, :2] - ((low + high) / 2)[:2], axis=1)
        cost = (
            abs(yaw) / 90 * 0.6 + width[fits] * 12 + (9 - covered[fits]) * 0.15 + off * 4 - (place[:, 2] - low[2]) * 2
        )
        found += [
            (float(c), p, turn, float(yaw), float(w))
            for c, p, w in zip(cost[~hit], place[~hit], width[fits][~hit], strict=True)
        ]
    return _different(sorted(found, key=lambda each: each[0]), most)


def _bounds(centre: Floats, axes: Floats, half: Floats) -> tuple[Floats, Floats]:
    reach = np.einsum("gij,gj->gi", np.abs(axes), half)
    low: Floats = (centre - reach).min(0)
    high: Floats = (centre + reach).max(0)
    return low, high


def _grid(low: Floats, high: Floats) -> Floats:
    """(P, 3) places to try: all over in x and y, three heights."""
    stride = max(0.008, float((high - low)[:2].max()) / 22)
    tops = {max(float(high[2]) - down, float(low[2]) + 0.01) for down in (0.013, 0.018, 0.03)}
    middle = max(float(low[2] + high[2]) / 2, float(low[2]) + 0.012)
    heights = sorted(tops | ({middle} if high[2] - middle < FINGER else set()))
    xs, ys = (np.arange(low[i], high[i] + stride, stride) for i in (0, 1))
    return np.array([[x, y, z] for x in xs for y in ys for z in heights])


def _different(found: list[Found], most: int) -> list[Found]:
    kept: list[Found] = []
    for each in found:
        near = any(np.linalg.norm(each[1] - k[1]) <= 0.025 and abs(each[3] - k[3]) <= 25 for k in kept)
        if not near:
            kept.append(each)
        if len(kept) == most:
            break
    return kept
