"""Multiplicative completion: pay for what was completed in the step, less where something went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.bounds import check_numbers
from robo_reward.contracts import Estimate, Flags, Floats, Transition
from robo_reward.errors import UserError, unknown_name
from robo_reward.transform_kinds import Nature

Fault = Literal["uncertain", "mismatched", "hasty"]
FAULTS: tuple[Fault, ...] = ("uncertain", "mismatched", "hasty")


class Completion:
    """reward += weight * (completed in the step * product of penalty factors) - terminal (CaRL, arXiv 2504.17838).

    Completed is what the progress rose above its best so far in the episode, so going back and forth pays nothing.
    ``penalties``: fault -> factor in [0, 1], multiplied in at steps with that fault; ``limits`` says from where on it
    is one: ``uncertain`` above that uncertainty, ``mismatched`` below that match, ``hasty`` above that largest absolute
    action. ``terminal`` is taken off once where an episode terminates with a success probability below 0.5.
    """

    def __init__(
        self,
        penalties: Mapping[Fault, float] | None = None,
        limits: Mapping[Fault, float] | None = None,
        terminal: float = 1.0,
        weight: float = 1.0,
    ) -> None:
        """Raises UserError for an unknown fault, a factor outside [0, 1], a fault without limit, terminal < 0, or
        a weight, limit or terminal that is not finite."""
        self._penalties, self._limits = dict(penalties or {}), dict(limits or {})
        for fault, factor in self._penalties.items():
            if fault not in FAULTS:
                raise unknown_name("fault of transform completion", fault, FAULTS)
            if not 0 <= factor <= 1:
                raise UserError(f"transform completion: penalties.{fault}={factor} must lie in [0, 1]")
            if fault not in self._limits:
                raise UserError(f"transform completion: penalties.{fault} needs limits.{fault}")
        bounds: dict[str, Any] = {f"limits.{fault}": limit for fault, limit in self._limits.items()}
        check_numbers("transform completion", **bounds)
        check_numbers("transform completion (taken off)", least=0, terminal=terminal)
        check_numbers("transform completion", weight=weight)
        self.base_reward: str | None = f"{weight:g}*completion"
        self.nature = Nature("objective", pays="change", source="progress")
        self._terminal, self._weight = terminal, weight
        self._best: Floats = np.zeros(0, np.float32)

    def begin(self, first: Estimate, fresh: Flags) -> None:
        """Fresh episodes have completed what their first state shows."""
        old = self._best if len(self._best) == len(fresh) else np.zeros(len(fresh), np.float32)
        self._best = np.where(fresh, first.progress, old).astype(np.float32)

    def __call__(self, reward: Floats, transition: Transition, estimate: Estimate) -> Floats:
        factor: NDArray[np.float64] = np.ones(len(reward))
        for fault, penalty in self._penalties.items():
            factor = np.where(self._has(fault, transition, estimate), factor * penalty, factor)
        completed = np.maximum(estimate.progress - self._best, 0)
        self._best = np.maximum(self._best, estimate.progress)
        failed = transition.terminated & (estimate.success < 0.5)
        return np.asarray(reward + self._weight * (completed * factor) - self._terminal * failed, np.float32)

    def _has(self, fault: Fault, transition: Transition, estimate: Estimate) -> Flags:
        limit = self._limits[fault]
        if fault == "hasty":
            return np.asarray(np.abs(transition.action).max(1) > limit)
        if fault == "uncertain":
            return np.asarray(estimate.uncertainty > limit)
        if estimate.match is None:
            raise UserError(
                "transform completion(penalties.mismatched): this reward model gives no match; "
                "use reward_model=transport, or leave the penalty out"
            )
        return np.asarray(estimate.match < limit)
