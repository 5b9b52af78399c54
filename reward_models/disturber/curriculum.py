"""How hard a disturber may push at which time of the training: nothing first, then more and more."""

from __future__ import annotations

from dataclasses import dataclass

from robo_reward.errors import UserError


@dataclass(frozen=True, slots=True)
class Curriculum:
    """The bound on the force's magnitude, a safety limit that no constraint replaces.

    ``limit`` in N. No force acts for ``warmup`` environment steps; then the bound rises from ``first``, a share of the
    limit, to the limit within ``ramp`` environment steps.
    """

    limit: float
    first: float = 0.2
    warmup: int = 0
    ramp: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.limit <= 1e5:
            raise UserError(
                f"hook.curriculum.limit={self.limit} N must be above 0 and at most 100000: without force use hook=none"
            )
        if not 0.0 < self.first <= 1.0:
            raise UserError(f"hook.curriculum.first={self.first} must be a share of the limit, above 0 and at most 1")
        if self.warmup < 0 or self.ramp < 0:
            raise UserError(
                f"hook.curriculum.warmup={self.warmup} and ramp={self.ramp} must be 0 or more environment steps"
            )

    def bound(self, steps: int) -> float:
        """Newtons after ``steps`` environment steps; 0 during the warm-up."""
        if steps < self.warmup:
            return 0.0
        if self.ramp == 0:
            return self.limit
        share = min((steps - self.warmup) / self.ramp, 1.0)
        return self.limit * (self.first + (1.0 - self.first) * share)
