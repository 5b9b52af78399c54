"""Pushes that a robustness curve is made of: constant, sudden and periodic forces in eight directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError

Kind = Literal["constant", "sudden", "periodic", "worst"]
KINDS: tuple[Kind, ...] = ("constant", "sudden", "periodic", "worst")
DIRECTIONS = 8
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Schedule:
    """When an episode is pushed, in seconds: quiet for ``settle``, then pushed and watched until ``seconds``.

    A sudden push lasts ``sudden``; a periodic one swings ``hertz`` times a second between plus and minus the force.
    """

    settle: float = 1.0
    seconds: float = 6.0
    sudden: float = 0.2
    hertz: float = 1.0

    def __post_init__(self) -> None:
        times = 0.0 <= self.settle < self.seconds < np.inf
        if not (times and 0.0 < self.sudden < np.inf and 0.0 < self.hertz < np.inf):
            raise UserError(
                f"disturbance: settle={self.settle} must be 0 or more, seconds={self.seconds} longer than that, "
                f"sudden={self.sudden} and hertz={self.hertz} above 0"
            )

    def check(self, fps: float, kinds: Sequence[Kind]) -> None:
        """UserError where a push of some kind would be 0 at every step of an episode, or swing faster than steps show.

        ``fps``: steps per second.
        """
        if "periodic" in kinds and not self.hertz < fps / 2:
            raise UserError(
                f"disturbance.schedule.hertz={self.hertz} must be below {fps / 2:g}, half the world's {fps:g} steps "
                "per second: its steps cannot show a faster swing"
            )
        for kind in kinds:
            if not any(abs(self.share(kind, step / fps)) > 1e-6 for step in range(self.steps(fps))):
                raise UserError(
                    f"a {kind} push would act at no step: disturbance.schedule.settle={self.settle}, "
                    f"seconds={self.seconds} and sudden={self.sudden} s leave no time for it at {fps:g} steps per "
                    f"second. A step lasts {1 / fps:g} s: set longer times"
                )

    def steps(self, fps: float) -> int:
        """Of an episode, at ``fps`` of them per second."""
        return round(self.seconds * fps)

    def pushes(self, second: float) -> bool:
        """Whether forces may act at this time of an episode."""
        return second >= self.settle - 1e-9

    def share(self, kind: Kind, second: float) -> float:
        """Share of the force, in [-1, 1], that acts at this time of an episode."""
        since = second - self.settle
        if not self.pushes(second):
            return 0.0
        if kind == "sudden":
            return 1.0 if since < self.sudden - 1e-9 else 0.0
        return float(np.sin(2 * np.pi * self.hertz * since)) if kind == "periodic" else 1.0


def directions(first: int, count: int) -> Array:
    """(count, 3) horizontal unit vectors in the world's axes: episode k is pushed along k eighths of a turn."""
    angle = 2 * np.pi * ((first + np.arange(count)) % DIRECTIONS) / DIRECTIONS
    return np.stack([np.cos(angle), np.sin(angle), np.zeros(count)], axis=1)
