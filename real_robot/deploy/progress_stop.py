"""Ends an episode whose progress stands still or falls: what a policy does then helps nobody."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from robo_reward.errors import UserError


@dataclass(frozen=True)
class ProgressPlan:
    """Progress in [0, 1], times in seconds; None switches a rule off."""

    stalled_time: float | None = 10.0
    """Without a new best by ``stalled_gain`` for so long: stalled."""
    stalled_gain: float = 0.02
    fallen: float | None = 0.4
    """So far below the best for ``fallen_time``: falling."""
    fallen_time: float = 2.0

    def __post_init__(self) -> None:
        for name, least in (("stalled_time", 0.0), ("fallen", 0.0)):
            value = getattr(self, name)
            if value is not None and not value > least:
                raise UserError(f"{name}={value} must be above 0, or null for no such stop")


@dataclass
class ProgressStop:
    """Fed with the live progress of one episode."""

    plan: ProgressPlan
    best: float = -1.0
    _best_at: float = 0.0
    _high_at: float = 0.0
    curve: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=100_000))
    """(seconds, progress) so far."""

    def see(self, seconds: float, progress: float) -> str:
        """Progress at ``seconds`` of the episode: why it should end, or empty."""
        plan = self.plan
        self.curve.append((seconds, progress))
        if progress >= self.best + plan.stalled_gain or len(self.curve) == 1:
            self._best_at = seconds
            self.best = max(self.best, progress)
        if plan.fallen is None or progress > self.best - plan.fallen:
            self._high_at = seconds
        elif seconds - self._high_at > plan.fallen_time:
            return f"progress fell from {self.best:.2f} to {progress:.2f}"
        if plan.stalled_time is not None and seconds - self._best_at > plan.stalled_time:
            return f"no progress for {plan.stalled_time:g} s (it stays at {progress:.2f})"
        return ""
