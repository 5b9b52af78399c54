"""The choice of no reward, for learners that imitate: ``learner=sft``."""

from __future__ import annotations

import numpy as np

from robo_reward.contracts import Estimate, Flags, Needs, Observation, Transition
from robo_reward.trace import Trace


class NoReward:
    """Has no opinion: estimates are zeros. Learners that learn from a reward refuse it (``prices`` is False)."""

    name = "none"
    prices = False

    def __init__(self) -> None:
        self.needs = Needs()

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """Zeros (N,)."""
        return _silent(len(fresh))

    def estimate(self, transition: Transition) -> Estimate:
        """Zeros (N,)."""
        return _silent(len(transition.terminated))

    def estimate_episode(self, trace: Trace) -> Estimate:
        """Zeros (F,)."""
        return _silent(len(trace.frame_steps))


def _silent(count: int) -> Estimate:
    zeros = np.zeros(count, np.float32)
    return Estimate(zeros, zeros, zeros, zeros)
