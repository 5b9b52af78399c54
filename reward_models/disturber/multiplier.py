"""A Lagrange multiplier that follows its constraint by dual ascent, within bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from robo_reward.errors import UserError


@dataclass(frozen=True, slots=True)
class DualSettings:
    """``start``, step size ``rate`` and upper bound ``most`` of a multiplier."""

    start: float = 1.0
    rate: float = 0.1
    most: float = 10.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.start <= self.most < math.inf or not 0.0 < self.rate < math.inf:
            raise UserError(
                f"hook.dual: start={self.start} must lie within 0 and most={self.most}, and rate={self.rate} be above 0"
            )


class Multiplier:
    """``value`` >= 0 weighs a constraint; ``slack`` >= 0 means that the constraint holds."""

    def __init__(self, settings: DualSettings) -> None:
        self._settings, self.value = settings, settings.start

    def step(self, slack: float) -> None:
        """Falls where the constraint holds and grows where it does not: value - rate * slack, projected."""
        self.value = min(max(self.value - self._settings.rate * slack, 0.0), self._settings.most)
