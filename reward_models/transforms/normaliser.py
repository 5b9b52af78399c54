"""A running normaliser: rewards in units of the spread of the returns that were seen so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from robo_reward.contracts import Estimate, Flags, Floats, Transition
from robo_reward.errors import UserError
from robo_reward.transform_kinds import Nature

SMALL = 1e-8


class Normaliser:
    """reward = clip(reward / std of the discounted returns so far, -limit, limit).

    The mean is not taken off: a constant added to every step moves the optimum of episodes that can end early. The
    statistics run over all worlds and steps (Chan's parallel update), so a world's reward depends on the others; a
    batch counts before it is scaled, whatever its order. Prices per step only.
    """

    def __init__(self, gamma: float = 0.99, limit: float = 10.0) -> None:
        """``gamma``: the learner's discount. Raises UserError outside [0, 1], or for a limit that is not positive."""
        if not 0 <= gamma <= 1 or not limit > 0:
            raise UserError(f"transform normaliser needs 0 <= gamma <= 1 and limit > 0, got {gamma} and {limit}")
        self.base_reward: str | None = None
        self.nature = Nature("reshape", "running", low=-limit, high=limit)
        self._gamma, self._limit = gamma, limit
        self._returns: Floats = np.zeros(0, np.float32)
        self._count, self._mean, self._squares = 0.0, 0.0, 0.0

    @property
    def deviation(self) -> float:
        """Standard deviation (population) of the returns so far; 1 before anything was seen to differ."""
        variance = self._squares / self._count if self._count else 0.0
        return float(np.sqrt(variance)) if variance > SMALL else 1.0

    def begin(self, first: Estimate, fresh: Flags) -> None:
        """Returns of fresh episodes start at 0; the statistics go on."""
        old = self._returns if len(self._returns) == len(fresh) else np.zeros(len(fresh), np.float32)
        self._returns = np.where(fresh, 0, old).astype(np.float32)

    def __call__(self, reward: Floats, transition: Transition, estimate: Estimate) -> Floats:
        self._returns = (self._gamma * self._returns + reward).astype(np.float32)
        self._see(self._returns.astype(np.float64))
        return np.clip(reward / self.deviation, -self._limit, self._limit).astype(np.float32)

    def _see(self, batch: Any) -> None:
        count = float(len(batch))
        gap, total = float(batch.mean()) - self._mean, self._count + count
        self._squares += float(batch.var()) * count + gap**2 * self._count * count / total
        self._mean += gap * count / total
        self._count = total

    def state(self) -> dict[str, Any]:
        """The statistics, for a run that is resumed."""
        return {"count": self._count, "mean": self._mean, "squares": self._squares}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        self._count, self._mean, self._squares = (float(state[key]) for key in ("count", "mean", "squares"))
