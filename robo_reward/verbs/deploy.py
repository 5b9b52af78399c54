"""deploy: a trained policy on an arm, behind the guard; every episode kept, with the goals that were sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig) -> None:
    """Checks, brings the arm to the start, plays the episodes, leaves the arm as ``docs/real_arm.md`` says.

    Raises:
        UserError: refused before the arm had torque (exit code 2).
        SafetyStop: the arm was stopped (exit code 3); the run folder tells why.
    """
    from robo_reward.arm.policy_run import run_on_arm

    run_on_arm("deploy", cfg)
