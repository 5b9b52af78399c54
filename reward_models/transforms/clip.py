"""Keeps rewards within bounds."""

from __future__ import annotations

import numpy as np

from robo_reward.contracts import Estimate, Flags, Floats, Transition
from robo_reward.errors import UserError


class Clip:
    """reward = clip(reward, low, high)."""

    def __init__(self, low: float = -1.0, high: float = 1.0) -> None:
        if not low < high:
            raise UserError(f"transform clip needs low < high, got low={low} and high={high}")
        self.base_reward: str | None = None
        self._low, self._high = low, high

    def begin(self, first: Estimate, fresh: Flags) -> None:
        """Nothing to remember."""

    def __call__(self, reward: Floats, transition: Transition, estimate: Estimate) -> Floats:
        return np.clip(reward, self._low, self._high).astype(np.float32)
