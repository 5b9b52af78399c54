"""Gated accumulation: rewards of lower rank count only where one of higher rank has been reached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from robo_reward.bounds import check_numbers
from robo_reward.contracts import Estimate, Flags, Floats, Transition
from robo_reward.errors import UserError, unknown_name
from robo_reward.trace import Trace
from robo_reward.transform_kinds import Nature

Source = Literal["progress", "success"]
SOURCES: tuple[Source, ...] = ("progress", "success")


class OutcomeGate:
    """R = weight * R_high + 1[R_high >= threshold] * sum_t r_low,t (G-RA, arXiv 2508.10548).

    The low rewards are those so far; R_high is the estimate at the episode's end, paid at its last step. A threshold
    that is too low lets hacks through, one that is too high wastes the low rewards.
    """

    group = False

    def __init__(self, source: Source = "success", threshold: float = 0.5, weight: float = 1.0) -> None:
        """Raises UserError for an unknown source or a threshold outside (0, 1], or a weight that is not finite."""
        _check("gated", source, threshold)
        check_numbers("transform gated", weight=weight)
        self.base_reward: str | None = f"{weight:g}*final_{source}"
        self.nature = Nature("reshape", "episode", pays="event", source=source)
        self._source, self._threshold, self._weight = source, threshold, weight

    def price(self, rewards: Sequence[Floats], episodes: Sequence[tuple[Trace, Estimate]]) -> list[Floats]:
        """(T_i,) for every episode."""
        priced = []
        for reward, (_, estimate) in zip(rewards, episodes, strict=True):
            outcome = float(getattr(estimate, self._source)[-1])
            paid = np.array(reward if outcome >= self._threshold else np.zeros_like(reward), np.float32)
            paid[-1:] += self._weight * outcome
            priced.append(paid)
        return priced


class StepGate:
    """reward = reward * 1[estimate >= threshold], step by step: G-RA's gate for rewards that cannot wait for the end.

    For bonuses of lower rank (smoothness, contact, style) that shall count from some progress on. What comes before it
    in the chain is gated, what comes after it is not.
    """

    def __init__(self, source: Source = "progress", threshold: float = 0.5) -> None:
        """Raises UserError for an unknown source or a threshold outside (0, 1]."""
        _check("gated", source, threshold)
        self.base_reward: str | None = None
        self.nature = Nature("reshape", source=source)
        self._source, self._threshold = source, threshold

    def begin(self, first: Estimate, fresh: Flags) -> None:
        """Nothing to remember."""

    def __call__(self, reward: Floats, transition: Transition, estimate: Estimate) -> Floats:
        return np.where(getattr(estimate, self._source) >= self._threshold, reward, 0).astype(np.float32)


def _check(name: str, source: str, threshold: float) -> None:
    if source not in SOURCES:
        raise unknown_name(f"source of transform {name}", source, SOURCES)
    if not 0 < threshold <= 1:
        raise UserError(f"transform {name}: threshold={threshold} must be above 0 and at most 1")
