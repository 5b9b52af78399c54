"""Joint targets that reach the motors late: a queue of targets per world and a delay in physics steps."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError

Array = NDArray[np.float64]


class DelayedTargets:
    """Latency of actuators, in whole physics steps, its own for each episode.

    ``bounds`` seconds from which latencies are drawn; ``timestep`` and ``frame_skip`` of the simulation. The queue
    (N, H, A) and the delays (N,) live in the caller's memory, so that snapshots hold them.
    """

    def __init__(self, bounds: tuple[float, float], timestep: float, frame_skip: int) -> None:
        low, high = bounds
        if not 0.0 <= low <= high <= 0.2:
            raise UserError(f"env.latency=[{low}, {high}] must be two times in seconds, rising, within 0 and 0.2")
        self._steps = (round(low / timestep), round(high / timestep))
        for bound, steps in zip(bounds, self._steps, strict=True):
            if bound > 0.0 and steps == 0:
                raise UserError(
                    f"env.latency=[{low}, {high}]: {bound} s would be none at all, since targets arrive at whole "
                    f"physics steps of {timestep:g} s: set it to {timestep:g} or more, or to 0.0"
                )
        self._frame_skip = frame_skip
        self.depth = 1 + math.ceil(self._steps[1] / frame_skip)

    def delays(self, draws: Array) -> NDArray[np.int64]:
        """(M,) delays in physics steps from uniform draws (M,)."""
        low, high = self._steps
        if low == high:
            return np.full(len(draws), low, np.int64)
        return np.asarray(np.floor(low + draws * (high - low + 1)).astype(np.int64))

    def controls(self, target: Array, queue: Array, delay: NDArray[np.int64]) -> Array:
        """What arrives in each physics step of this decision, (N, frame_skip, A), once ``target`` (N, A) has joined the
        queue; where there is no latency, ``target`` itself.
        """
        if self.depth == 1:
            return target
        queue[:, 1:] = queue[:, :-1]
        queue[:, 0] = target
        late = delay[:, None] - np.arange(self._frame_skip)
        ago = np.maximum(0, -(-late // self._frame_skip))
        return np.asarray(np.take_along_axis(queue, ago[:, :, None], axis=1))
