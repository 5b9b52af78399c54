"""Stratified normalisation: a dense reward orders episodes within success and within failure, never across."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.bounds import check_numbers
from robo_reward.contracts import Estimate, Floats
from robo_reward.errors import UserError
from robo_reward.trace import Trace
from robo_reward.transform_kinds import Nature

Doubles = NDArray[np.float64]
SMALL = 1e-8


@dataclass(frozen=True, slots=True)
class Weighting:
    """How hard groups count more: w = low + (high - low) / (1 + exp(-steepness (sigma - mean sigma)))."""

    low: float = 0.4
    high: float = 3.0
    steepness: float = 6.0
    memory: float = 0.9

    def of(self, sigma: float, mean: float) -> float:
        """The weight of a group whose rewards have the standard deviation ``sigma``."""
        return float(self.low + (self.high - self.low) / (1 + np.exp(-self.steepness * (sigma - mean))))


def stratify(dense: NDArray[np.floating], verified: NDArray[np.bool_], failure: float, success: float) -> Doubles:
    """Rewards (G,): failures in [-failure, failure], successes in [1 - success, 1 + success], by their dense rewards.

    r = -a + 2a (rm - min)/(max - min) among failures, (1 - b) + 2b (rm - min)/(max - min) among successes (HERO, arXiv
    2510.07242). A stratum without spread, so one of a single episode, gets its lower end.
    """
    values = np.asarray(dense, np.float64)
    found = np.zeros(len(values))
    for member, low, width in ((~verified, -failure, 2 * failure), (verified, 1 - success, 2 * success)):
        if member.any():
            inside = values[member]
            found[member] = low + width * (inside - inside.min()) / (np.ptp(inside) + SMALL)
    return found


class Stratified:
    """HERO's reward of a group of episodes, paid at their last steps.

    The verifier is the success detector at the episode's end, the dense reward the mean of the rewards so far. Any
    success then outranks any failure, however well the failure looks. ``weighting`` multiplies a group's rewards by how
    much they differ; advantages divided by the group's standard deviation cancel it exactly, so such learners refuse it
    (``chain_check.check_normalised_advantage``).
    """

    group = True

    def __init__(
        self, failure: float = 0.1, success: float = 0.1, threshold: float = 0.5, weighting: bool = False
    ) -> None:
        """``failure``, ``success``: half the width of either stratum. Raises UserError where strata would overlap."""
        check_numbers("transform hero", failure=failure, success=success)
        if failure < 0 or success < 0 or failure + success >= 1:
            raise UserError(
                f"transform hero: failure={failure} and success={success} must be 0 or more and less than 1 together, "
                "else a failure could outrank a success"
            )
        if not 0 < threshold <= 1:
            raise UserError(f"transform hero: threshold={threshold} must be above 0 and at most 1")
        self.base_reward: str | None = "stratified_success"
        self.nature = Nature("reshape", "group", source="success", scales=weighting)
        self._failure, self._success, self._threshold = failure, success, threshold
        self._weighting = Weighting() if weighting else None
        self._mean: float | None = None

    def price(self, rewards: Sequence[Floats], episodes: Sequence[tuple[Trace, Estimate]]) -> list[Floats]:
        """(T_i,) for every episode of one group: zeros, and the episode's reward at its last step."""
        dense = np.asarray([float(reward.mean()) for reward in rewards])
        verified = np.asarray([float(estimate.success[-1]) >= self._threshold for _, estimate in episodes])
        found = self._weight(float(dense.std())) * stratify(dense, verified, self._failure, self._success)
        priced: list[Floats] = [np.zeros(len(reward), np.float32) for reward in rewards]
        for paid, value in zip(priced, found, strict=True):
            paid[-1] = value
        return priced

    def state(self) -> dict[str, Any]:
        """The running mean of the groups' spreads, for a run that is resumed."""
        return {"mean": self._mean}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        self._mean = state["mean"]

    def _weight(self, sigma: float) -> float:
        if self._weighting is None:
            return 1.0
        if self._mean is None:
            self._mean = sigma
        weight = self._weighting.of(sigma, self._mean)
        self._mean = self._weighting.memory * self._mean + (1 - self._weighting.memory) * sigma
        return weight
