"""How fast a joint may move and still stop within a distance, exact for motion in steps of one control period."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def stopping_distance(speed: Floats, deceleration: Floats, period: float) -> Floats:
    """Distance of one step at ``speed`` and then, each period slower by ``deceleration * period``, to rest.

    With u = deceleration * period the speeds are speed, speed - u, ...: n = ceil(speed / u) steps in all.
    ``speed`` >= 0 and ``deceleration`` > 0 broadcast; units as given (degrees and degrees per second, say).
    """
    lost = deceleration * period
    steps = np.ceil(speed / lost)
    distance: Floats = period * (steps * speed - lost * steps * (steps - 1) / 2)
    return distance


def fastest(distance: Floats, deceleration: Floats, period: float) -> Floats:
    """The inverse: the greatest speed of the next step that still comes to rest within ``distance`` (>= 0).

    It is what makes a limit invariant: whoever moves at most this fast can go on slowing down by
    ``deceleration`` and never leaves the distance, so the limits of position, velocity and acceleration never
    contradict each other.
    """
    lost = deceleration * period
    steps = np.maximum(np.ceil((np.sqrt(1 + 8 * distance / (lost * period)) - 1) / 2), 1.0)
    speed: Floats = distance / (steps * period) + lost * (steps - 1) / 2
    return speed


def path_to_rest(position: Floats, velocity: Floats, deceleration: Floats, period: float, steps: int) -> Floats:
    """The positions (N, steps, J) of the ``steps`` periods after one that ended at (N, J) with that velocity."""
    counted = np.arange(1, steps + 1).reshape(-1, 1)
    speeds = np.maximum(np.abs(velocity)[:, None] - counted * (deceleration * period), 0.0)
    path: Floats = position[:, None] + np.sign(velocity)[:, None] * np.cumsum(speeds, axis=1) * period
    return path
