"""How hard a disturber may push at which time of the training: nothing first, then more and more."""

from __future__ import annotations

from dataclasses import dataclass

from robo_reward.errors import UserError


@dataclass(frozen=True, slots=True)
class Curriculum:
    """The bound on the force's magnitude, a safety limit that no constraint replaces.

    ``limit`` in N. No force acts for ``warmup`` environment steps; then the bound rises from ``first``, a share of the
    limit, to the limit within ``ramp`` environment steps. It stays where it is while more than ``falls`` robots fall
    per pushed step; None lets it rise whatever falls. Whoever is always felled at once learns nothing.
    """

    limit: float
    first: float = 0.2
    warmup: int = 0
    ramp: int = 0
    falls: float | None = None

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

        if self.falls is not None and not 0.0 < self.falls <= 1.0:
            raise UserError(
                f"hook.curriculum.falls={self.falls} must be above 0 and at most 1 fall per step of a robot, or null"
            )

    def waits(self, falls: float) -> bool:
        """Whether the bound stays where it is after a rollout with so many falls per pushed step."""
        return self.falls is not None and falls > self.falls

    def counted(self, steps: int, rollout: int, falls: int, pushed: int) -> int:
        """Environment steps that count after a ``rollout`` of so many, which ended at ``steps``.

        Where the bound waits, because of ``falls`` in ``pushed`` steps under a bound above 0, those of the rollout do
        not count, but the warm-up stays over.
        """
        if pushed == 0 or not self.waits(falls / pushed):
            return steps
        return max(steps - rollout, min(self.warmup, steps))

    def bound(self, steps: int) -> float:
        """Newtons after ``steps`` environment steps; 0 during the warm-up."""
        if steps < self.warmup:
            return 0.0
        if self.ramp == 0:
            return self.limit
        share = min((steps - self.warmup) / self.ramp, 1.0)
        return self.limit * (self.first + (1.0 - self.first) * share)
