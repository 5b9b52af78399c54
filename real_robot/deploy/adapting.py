"""Lets an object of the user's change the policy between episodes: the arm is held, and the policy tried first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from robo_reward.contracts import Policy
from robo_reward.errors import UserError
from robo_reward.real_robot.deploy.interface import PolicyInterface
from robo_reward.real_robot.deploy.preflight import rehearse
from robo_reward.real_robot.safety_state import SafetyStop
from robo_reward.trace import Trace


class ArmAdaptation(Protocol):
    """Test-time adaptation on an arm, which a user can write in one file (``adaptation`` in the yaml of deploy)."""

    def adapt(self, policy: Policy, episode: Trace) -> Mapping[str, float]:
        """Changes the policy in place after an episode; metrics of what it did.

        ``episode``: what was seen, the goals that the guard sent, the rewards that training would have paid (None
        where the run has no reward model). Whether it succeeded is nobody's to say here.
        """
        ...


def adapted(hook: ArmAdaptation, policy: Policy, interface: PolicyInterface, episode: Trace) -> dict[str, float]:
    """Runs the hook; its metrics. Whatever it did, goals of the policy go through the guard as before.

    Raises:
        SafetyStop: the policy cannot act any more, or gives what is no number; nothing of it reached the arm.
    """
    told = {key: float(value) for key, value in (hook.adapt(policy, episode) or {}).items()}
    try:
        rehearse(policy, interface)
    except UserError as error:
        raise SafetyStop(f"the arm is held: after its adaptation {error}") from error
    return told
