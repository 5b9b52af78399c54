"""The gold reward: 1 where an independent success detector says that the task is done."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robo_reward.bounds import check_numbers
from robo_reward.contracts import Estimate, Flags, Floats, Transition
from robo_reward.errors import UserError
from robo_reward.transform_kinds import AtEnd, Nature


class Gold:
    """reward += weight where the success probability has been at least ``threshold`` for ``consecutive`` steps.

    Robo-Dopamine's r_gold (section 2.8), but from the calibrated detector instead of from the progress that is being
    shaped: a hallucinated progress then pays nothing. Paid at every such step, or ``once`` in an episode. An objective.
    The step in which an episode terminates needs no others that agree: there are none to wait for.
    """

    def __init__(
        self,
        threshold: float = 0.5,
        consecutive: int = 2,
        weight: float = 1.0,
        once: bool = False,
        gamma: float | None = None,
    ) -> None:
        """``gamma``: the learner's discount. An episode that terminates in success is then paid for that success as
        if it lasted, weight / (1 - gamma); without (and with 1, where that sum has no end) the pay is an income that
        such an end cuts short, and chains are refused where success ends episodes. Has no effect with ``once``.

        Raises:
            UserError: for a threshold outside (0, 1], no whole number of consecutive steps, a weight that is not
                finite, or a discount outside [0, 1].
        """
        if not 0 < threshold <= 1:
            raise UserError(f"transform gold: threshold={threshold} must be above 0 and at most 1")
        if gamma is not None and not 0 <= gamma <= 1:
            raise UserError(f"transform gold: gamma={gamma} must be at least 0 and at most 1: the learner's discount")
        check_numbers("transform gold", least=1, whole=True, consecutive=consecutive)
        check_numbers("transform gold", weight=weight)
        self.base_reward: str | None = f"{weight:g}*detected_success"
        lasts = gamma is not None and gamma < 1
        end: AtEnd | None = None if once else "lasts" if lasts else "cut"
        known = None if once else gamma
        self.nature = Nature("objective", pays="event", source="success", gamma=known, at_end=end)
        self._threshold, self._consecutive, self._weight, self._once = threshold, consecutive, weight, once
        self._lasting = 1 / (1 - gamma) if gamma is not None and end == "lasts" else 1.0
        self._run: NDArray[np.int64] = np.zeros(0, np.int64)
        self._paid: Flags = np.zeros(0, bool)

    def begin(self, first: Estimate, fresh: Flags) -> None:
        """Forgets the run of positive steps in fresh episodes."""
        known = len(self._run) == len(fresh)
        self._run = np.where(fresh, 0, self._run if known else 0)
        self._paid = ~fresh & (self._paid if known else False)

    def __call__(self, reward: Floats, transition: Transition, estimate: Estimate) -> Floats:
        sure = estimate.success >= self._threshold
        self._run = np.where(sure, self._run + 1, 0)
        due = (self._run >= self._consecutive) | (sure & transition.terminated)
        if self._once:
            due &= ~self._paid
            self._paid = self._paid | due
        worth = self._weight * np.where(transition.terminated, self._lasting, 1.0)
        return np.asarray(reward + worth * due, np.float32)
