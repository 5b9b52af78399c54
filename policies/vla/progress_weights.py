"""Reward-aligned behaviour cloning: LeRobot's weights of samples by the progress within their chunk."""

from __future__ import annotations

import inspect
from typing import Any

from robo_reward.errors import MissingExtra, UserError
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy


def progress_weights(file: str, kappa: float, policy: LeRobotPolicy) -> Any:
    """LeRobot's ``RABCWeights`` of a progress file, for the chunks of a policy.

    Raises:
        UserError: it is none, or the policy gives no loss per sample.
        MissingExtra: what reads it is not installed.
    """
    if "reduction" not in inspect.signature(policy.policy.forward).parameters:
        raise UserError(f"LeRobot's {policy.config.type} policy gives no loss per sample: learner.rabc needs one")
    try:
        from lerobot.rewards.sarm.rabc import RABCWeights
    except ImportError as error:
        raise MissingExtra(error.name or "pandas", "lerobot", "learner.rabc") from error
    chunk = len(policy.config.action_delta_indices)
    try:
        return RABCWeights(file, chunk_size=chunk, kappa=kappa, device=policy.device)
    except (OSError, KeyError, ValueError) as error:
        raise UserError(
            f"learner.rabc='{file}' is no progress file ({error}): robo-reward curves data=... format=rabc writes one"
        ) from error
