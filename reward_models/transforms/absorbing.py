"""The end of an episode as a state that lasts: what makes a level reward sound where success ends the episode."""

from __future__ import annotations

import numpy as np

from robo_reward.contracts import Estimate, Flags, Floats, Transition
from robo_reward.errors import UserError
from robo_reward.transform_kinds import Nature


class Absorbing:
    """reward / (1 - gamma) at a terminated step: the last state's level, earned for ever.

    A terminated episode is then worth r + gamma r + gamma^2 r + ..., as if the world stayed where it ended. Without it
    a level is an income that success ends, so that hovering short of success is better. Truncated steps are left
    alone: the learner bootstraps those. Stands right after the levels; what an event pays once comes after it.
    """

    def __init__(self, gamma: float = 0.98) -> None:
        """``gamma``: the learner's discount. Raises UserError outside [0, 1)."""
        if not 0 <= gamma < 1:
            raise UserError(
                f"transform absorbing: gamma={gamma} must be at least 0 and below 1: the learner's discount"
            )
        self.base_reward: str | None = None
        self.nature = Nature("reshape", gamma=gamma, at_end="completes")
        self._lasting = 1 / (1 - gamma)

    def begin(self, first: Estimate, fresh: Flags) -> None:
        """Nothing to remember."""

    def __call__(self, reward: Floats, transition: Transition, estimate: Estimate) -> Floats:
        return np.where(transition.terminated, reward * self._lasting, reward).astype(np.float32)
