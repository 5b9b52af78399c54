"""The gold reward: 1 where an independent success detector says that the task is done."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robo_reward.bounds import check_numbers
from robo_reward.contracts import Estimate, Flags, Floats, Transition
from robo_reward.errors import UserError
from robo_reward.transform_kinds import Nature


class Gold:
    """reward += weight where the success probability has been at least ``threshold`` for ``consecutive`` steps.

    Robo-Dopamine's r_gold (section 2.8), but from the calibrated detector instead of from the progress that is being
    shaped: a hallucinated progress then pays nothing. Paid at every such step, or ``once`` in an episode. An objective.
    """

    def __init__(self, threshold: float = 0.5, consecutive: int = 2, weight: float = 1.0, once: bool = False) -> None:
        """Raises UserError for a threshold outside (0, 1], no whole number of consecutive steps, or a weight that
        is not finite."""
        if not 0 < threshold <= 1:
            raise UserError(f"transform gold: threshold={threshold} must be above 0 and at most 1")
        check_numbers("transform gold", least=1, whole=True, consecutive=consecutive)
        check_numbers("transform gold", weight=weight)
        self.base_reward: str | None = f"{weight:g}*detected_success"
        self.nature = Nature("objective", pays="event", source="success")
        self._threshold, self._consecutive, self._weight, self._once = threshold, consecutive, weight, once
        self._run: NDArray[np.int64] = np.zeros(0, np.int64)
        self._paid: Flags = np.zeros(0, bool)

    def begin(self, first: Estimate, fresh: Flags) -> None:
        """Forgets the run of positive steps in fresh episodes."""
        known = len(self._run) == len(fresh)
        self._run = np.where(fresh, 0, self._run if known else 0)
        self._paid = ~fresh & (self._paid if known else False)

    def __call__(self, reward: Floats, transition: Transition, estimate: Estimate) -> Floats:
        self._run = np.where(estimate.success >= self._threshold, self._run + 1, 0)
        due = self._run >= self._consecutive
        if self._once:
            due &= ~self._paid
            self._paid = self._paid | due
        return np.asarray(reward + self._weight * due, np.float32)
