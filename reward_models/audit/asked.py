"""A reward model every answer of which is held against the contract before it counts for anything."""

from __future__ import annotations

from typing import Any

from robo_reward.contracts import Estimate, Flags, Observation, RewardModel, Transition
from robo_reward.estimate_check import checked
from robo_reward.naming import reward_name
from robo_reward.trace import Trace


class Asked:
    """``model`` as it is, but that an answer which breaks the contract raises.

    Comparisons and ``max`` let a NaN pass in silence, so each figure and probe would have to look for it.

    Raises:
        ContractBroken: by every method, for such an answer.
    """

    def __init__(self, model: RewardModel) -> None:
        self._model, self.needs, self.name = model, model.needs, reward_name(model)

    def __getattr__(self, name: str) -> Any:
        """What the model says of itself: ``prices``, ``knows_progress``, ``reads_instructions``."""
        return getattr(self._model, name)

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """The model's, (N,)."""
        return checked(self._model.begin(first, fresh), len(fresh), self.name, "worlds")

    def estimate(self, transition: Transition) -> Estimate:
        """The model's, (N,)."""
        return checked(self._model.estimate(transition), len(transition.terminated), self.name, "worlds")

    def estimate_episode(self, trace: Trace) -> Estimate:
        """The model's, (F,)."""
        return checked(self._model.estimate_episode(trace), len(trace.frame_steps), self.name)
