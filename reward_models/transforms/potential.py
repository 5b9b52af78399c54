"""Potential-based shaping: guides the learner without changing what is optimal."""

from __future__ import annotations

import numpy as np

from robo_reward.bounds import check_numbers
from robo_reward.contracts import Estimate, Flags, Floats, Transition
from robo_reward.errors import UserError
from robo_reward.transform_kinds import Nature


class Potential:
    """reward += weight * (gamma^chunk * Phi(after) - Phi(before)), Phi = progress (Ng, Harada & Russell 1999).

    Phi(after) counts as 0 where the episode *terminated*, never where it was truncated: then the discounted sum is
    gamma^T Phi_T - Phi_0, or -Phi_0 after a termination, whatever the policy did. The potential of a state is the one
    that was computed when it was met (dynamic potentials are never recomputed inside a batch). Not an objective.
    """

    def __init__(self, gamma: float = 0.98, weight: float = 1.0, chunk: int = 1) -> None:
        """``gamma`` must be the learner's discount of one simulated step, else the optimum moves.

        ``chunk``: how many of these steps one transition takes, for policies that act in chunks and learners that
        discount a chunk by gamma^chunk.

        Raises:
            UserError: for a discount outside (0, 1], a weight that is not finite, or a chunk of no whole
                number of steps.
        """
        if not 0 < gamma <= 1:
            raise UserError(f"transform potential: gamma={gamma} must be above 0 and at most 1: the learner's discount")
        check_numbers("transform potential", weight=weight)
        check_numbers("transform potential", least=1, whole=True, chunk=chunk)
        self.base_reward: str | None = None
        self.nature = Nature("potential", source="progress", gamma=gamma, steps=chunk)
        self._discount, self._weight = gamma**chunk, weight
        self._before: Floats = np.zeros(0, np.float32)

    def begin(self, first: Estimate, fresh: Flags) -> None:
        """Remembers the potential of the first state of fresh episodes."""
        old = self._before if len(self._before) == len(fresh) else np.zeros(len(fresh), np.float32)
        self._before = np.where(fresh, first.progress, old).astype(np.float32)

    def __call__(self, reward: Floats, transition: Transition, estimate: Estimate) -> Floats:
        after = np.where(transition.terminated, 0.0, estimate.progress)
        shaped = reward + self._weight * (self._discount * after - self._before)
        self._before = estimate.progress
        return np.asarray(shaped, np.float32)
