"""Gain rewards: the change of progress over the step."""

from __future__ import annotations

import numpy as np

from robo_reward.bounds import check_numbers
from robo_reward.contracts import Estimate, Flags, Floats, Transition
from robo_reward.transform_kinds import Nature


class Gain:
    """reward += weight * (progress after - progress before).

    With a discount below 1 the sum over an episode still pays for sitting at high progress, but only through
    (1 - gamma) * progress (Robo-Dopamine, appendix A.2): a weak objective, which trials showed.
    """

    def __init__(self, weight: float = 1.0) -> None:
        """Raises UserError for a weight that is not finite."""
        check_numbers("transform gain", weight=weight)
        self.base_reward: str | None = f"{weight:g}*gain"
        self.nature = Nature("objective", pays="change", source="progress")
        self._weight = weight
        self._before: Floats = np.zeros(0, np.float32)

    def begin(self, first: Estimate, fresh: Flags) -> None:
        """Remembers where fresh episodes started."""
        old = self._before if len(self._before) == len(fresh) else np.zeros(len(fresh), np.float32)
        self._before = np.where(fresh, first.progress, old).astype(np.float32)

    def __call__(self, reward: Floats, transition: Transition, estimate: Estimate) -> Floats:
        gained = estimate.progress - self._before
        self._before = estimate.progress
        return np.asarray(reward + self._weight * gained, np.float32)
