"""Whether a reward that is asked step by step, as in training, says what it says of the whole episode, as audited."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robo_reward.contract_tests import step_through
from robo_reward.contracts import RewardModel
from robo_reward.estimate_check import checked
from robo_reward.naming import reward_name
from robo_reward.trace import Trace


def stepped_difference(model: RewardModel, trace: Trace) -> float | None:
    """The mean difference of progress, or of the success probability if that is more, in [0, 1], at kept frames.

    None for a model that prices whole episodes only: it says so, or raises when it is asked for a step.

    Raises:
        ContractBroken: if what it says of a step breaks the contract.
    """
    if model.needs.episode:
        return None
    thin = _a_frame_each_step(trace)
    whole = model.estimate_episode(thin)
    try:
        steps = [checked(step, 1, reward_name(model), "worlds") for step in step_through(model, [thin])]
    except (AssertionError, NotImplementedError):
        return None
    progress = np.array([step.progress[0] for step in steps])
    success = np.array([step.success[0] for step in steps])
    return float(max(np.abs(progress - whole.progress).mean(), np.abs(success - whole.success).mean()))


def _a_frame_each_step(trace: Trace) -> Trace:
    """The kept frames and their states alone, one step apart."""
    kept = trace.frame_steps
    return replace(
        trace,
        state=trace.state[kept],
        action=np.zeros((len(kept) - 1, trace.action.shape[1]), np.float32),
        frame_steps=np.arange(len(kept)),
        success=None,
        env_reward=None,
        estimate=None,
        reward=None,
    )
