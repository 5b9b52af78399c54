"""Conservatism: what the pieces after it see is the progress that an ensemble can vouch for."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.bounds import check_numbers
from robo_reward.contracts import Estimate, Flags, Floats, Transition
from robo_reward.errors import unknown_name
from robo_reward.transform_kinds import Nature

Rule = Literal["uncertainty_weighted", "worst_case"]
RULES: tuple[Rule, ...] = ("uncertainty_weighted", "worst_case")


def uncertainty_weighted(mean: NDArray[np.floating], deviation: NDArray[np.floating], weight: float) -> Floats:
    """UWO: mean - weight * variance, elementwise; ``deviation`` is the population's (Coste et al. 2024)."""
    return np.asarray(mean - weight * np.square(deviation), np.float32)


def worst_case(mean: NDArray[np.floating], deviation: NDArray[np.floating], members: int) -> Floats:
    """A bound on WCO's min over ``members`` values from their mean and population deviation, elementwise.

    Samuelson's inequality: no value lies more than sqrt(members - 1) deviations below the mean. For two members it is
    their minimum exactly; for more it is reached where one member disagrees with all the others.
    """
    return np.asarray(mean - np.sqrt(members - 1) * deviation, np.float32)


class Conservative:
    """Lowers the progress by the ensemble's disagreement, not below 0; stands first in a chain.

    ``uncertainty_weighted``: mean - weight * variance. ``worst_case``: the least that any of ``members`` can have said;
    the exact minimum is what reward_model=ensemble gives. Both are functions of the state, so a potential of the
    lowered progress is still a potential.
    """

    def __init__(self, rule: Rule = "uncertainty_weighted", weight: float = 0.5, members: int = 5) -> None:
        """Raises UserError for an unknown rule, a negative weight or fewer than two members."""
        if rule not in RULES:
            raise unknown_name("rule of transform conservative", rule, RULES)
        check_numbers("transform conservative", least=0, weight=weight)
        check_numbers("transform conservative", least=2, whole=True, members=members)
        self.base_reward: str | None = None
        self.nature = Nature("filter", source="progress", spread_of=members if rule == "worst_case" else 0)
        self._rule, self._weight, self._members = rule, weight, members

    def filter(self, estimate: Estimate) -> Estimate:
        """The estimate (N,) with lowered progress."""
        mean, deviation = estimate.progress, estimate.uncertainty
        if self._rule == "worst_case":
            lowered = worst_case(mean, deviation, self._members)
        else:
            lowered = uncertainty_weighted(mean, deviation, self._weight)
        return replace(estimate, progress=np.maximum(lowered, 0).astype(np.float32))

    def begin(self, first: Estimate, fresh: Flags) -> None:
        """Nothing to remember."""

    def __call__(self, reward: Floats, transition: Transition, estimate: Estimate) -> Floats:
        return reward
