"""The gold reward: 1 where an independent success detector says that the task is done."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Estimate, Flags, Floats, Transition


class Gold:
    """reward += weight where the success probability has been at least ``threshold`` for ``consecutive`` steps.

    Robo-Dopamine's r_gold (section 2.8), but from the calibrated detector instead of from the progress that is being
    shaped: a hallucinated progress then pays nothing. An objective.
    """

    def __init__(self, threshold: float = 0.5, consecutive: int = 2, weight: float = 1.0) -> None:
        self.base_reward: str | None = f"{weight:g}*detected_success"
        self._threshold, self._consecutive, self._weight = threshold, consecutive, weight
        self._run: NDArray[np.int64] = np.zeros(0, np.int64)

    def begin(self, first: Estimate, fresh: Flags) -> None:
        """Forgets the run of positive steps in fresh episodes."""
        self._run = np.where(fresh, 0, self._run if len(self._run) == len(fresh) else 0)

    def __call__(self, reward: Floats, transition: Transition, estimate: Estimate) -> Floats:
        self._run = np.where(estimate.success >= self._threshold, self._run + 1, 0)
        return np.asarray(reward + self._weight * (self._run >= self._consecutive), np.float32)
