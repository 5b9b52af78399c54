"""Keeps rewards within bounds."""

from __future__ import annotations

import numpy as np

from robo_reward.contracts import Estimate, Flags, Floats, Transition
from robo_reward.errors import UserError
from robo_reward.transform_kinds import Nature


class Clip:
    """reward = clip(reward, low, high). Bounds what one fooled step can pay; may move the optimum."""

    def __init__(self, low: float = -1.0, high: float = 1.0) -> None:
        if not low < high:
            raise UserError(f"transform clip needs low < high, got low={low} and high={high}")
        self.base_reward: str | None = None
        self.nature = Nature("reshape", low=low, high=high)
        self._low, self._high = low, high

    def begin(self, first: Estimate, fresh: Flags) -> None:
        """Nothing to remember."""

    def __call__(self, reward: Floats, transition: Transition, estimate: Estimate) -> Floats:
        return np.clip(reward, self._low, self._high).astype(np.float32)
