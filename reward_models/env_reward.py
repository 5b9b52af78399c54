"""The simulator's own reward behind the reward contract: plain RL, marked as oracle."""

from __future__ import annotations

from typing import Literal

import numpy as np

from robo_reward.contracts import Estimate, Flags, Needs, Observation, Transition
from robo_reward.trace import Trace


class EnvReward:
    """Passes the world's reward on: ``reward`` the hand-written dense one, ``success`` 1 at steps of success.

    Estimates are zeros: this model has no opinion about progress.
    """

    spread_of = 1

    def __init__(self, oracle: Literal["reward", "success"]) -> None:
        self.needs = Needs(oracle=oracle)
        self.name = "env_dense" if oracle == "reward" else "env_sparse"

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
