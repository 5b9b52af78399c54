"""Asks the twin behind an emulated arm whether the task was done: for the record only, nothing acts on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from robo_reward.contracts import Observation
from robo_reward.real_robot.arm_client import ArmView
from robo_reward.real_robot.deploy.critic import Critic

EVERY = 3
"""Periods between two questions."""


@dataclass
class Witness:
    """Shows each period and notes a success at any time, as evaluation in the simulator does. ``twin`` may be None."""

    twin: Any
    shown: Callable[[int, ArmView, Critic | None, Observation | None], None] | None = None
    success: bool | None = None

    def __call__(self, period: int, view: ArmView, critic: Critic | None, seen: Observation | None = None) -> None:
        """Called once a period."""
        if self.shown is not None:
            self.shown(period, view, critic, seen)
        if self.twin is not None and period % EVERY == 0:
            now = self.twin.success()
            self.success = now if not self.success else True
