"""Accumulated rewards: hops added up by a recursion rule, paid as a level."""

from __future__ import annotations

import numpy as np

from robo_reward.bounds import check_numbers
from robo_reward.contracts import Estimate, Flags, Floats, Transition
from robo_reward.errors import unknown_name
from robo_reward.reward_models.hops import RULES, Rule, accumulate
from robo_reward.transform_kinds import Nature


class Accumulated:
    """reward += weight * v, v accumulated from the episode's gains by ``rule`` (EVOLVE-VLA Eq. 2 and its relatives).

    The value depends on the episode's history, not on the state alone. A hop counts at the look that found it: with a
    stride the value stands still in between, per step and per episode alike.
    """

    def __init__(self, rule: Rule = "grm", weight: float = 1.0) -> None:
        """Raises UserError for an unknown rule or a weight that is not finite."""
        if rule not in RULES:
            raise unknown_name("recursion rule", rule, RULES)
        check_numbers("transform accumulated", weight=weight)
        self.base_reward: str | None = f"{weight:g}*accumulated({rule})"
        self.nature = Nature("objective", pays="level", source="gain")
        self._rule: Rule = rule
        self._weight = weight
        self._value: Floats = np.zeros(0, np.float32)

    def begin(self, first: Estimate, fresh: Flags) -> None:
        """Fresh episodes start at 0."""
        old = self._value if len(self._value) == len(fresh) else np.zeros(len(fresh), np.float32)
        self._value = np.where(fresh, 0.0, old).astype(np.float32)

    def __call__(self, reward: Floats, transition: Transition, estimate: Estimate) -> Floats:
        pairs = zip(self._value, estimate.gain, strict=True)
        self._value = np.asarray([accumulate(float(v), float(h), self._rule) for v, h in pairs], np.float32)
        return np.asarray(reward + self._weight * self._value, np.float32)
