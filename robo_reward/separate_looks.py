"""Looks at N worlds that are due at different steps, whether a reward model can look at some of them only or not."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np

from robo_reward.contracts import Estimate, Flags, Floats, Observation, RewardModel, Transition


@runtime_checkable
class LooksApart(RewardModel, Protocol):
    """A reward model with a memory of each episode that can look at some worlds only.

    With a stride, worlds whose episodes began at different steps are due at different steps. A model without this is
    asked for all worlds whenever one is due: what it counts (milestones) or adds up (hops) takes in more frames than
    its stride says, and more than the same episode has when it is priced as a whole.
    """

    def estimate_where(self, transition: Transition, look: Flags) -> Estimate:
        """As ``estimate``; where ``look`` (N,) is False the memory stays as it was and the row means nothing."""
        ...


class SeparateLooks:
    """``model`` as ``LooksApart``, whether it is one or not.

    Of a model that is not, all worlds are asked for; what those that are not due have gained is kept until it is their
    turn. That is exact where gains add up, as differences of progress do.
    """

    def __init__(self, model: RewardModel) -> None:
        self.model = model
        self._gained: Floats = np.zeros(0, np.float32)

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """As the model's."""
        gained = self._gained if len(self._gained) == len(fresh) else np.zeros(len(fresh), np.float32)
        self._gained = np.where(fresh, 0, gained).astype(np.float32)
        return self.model.begin(first, fresh)

    def estimate_where(self, transition: Transition, look: Flags) -> Estimate:
        """Estimates (N,), which mean something where ``look`` (N,) is True; gains since each world's own last look."""
        if isinstance(self.model, LooksApart):
            return self.model.estimate_where(transition, look)
        seen = self.model.estimate(transition)
        gained = self._gained + seen.gain
        self._gained = np.where(look, 0, gained).astype(np.float32)
        return replace(seen, gain=np.clip(gained, -1, 1).astype(np.float32))
