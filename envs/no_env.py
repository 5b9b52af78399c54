"""The choice of no simulator, for verbs that can do without one."""

from __future__ import annotations

from typing import Any

from robo_reward.envs.vector_world import VectorWorld
from robo_reward.errors import UserError


def make_world(**settings: Any) -> VectorWorld:
    """Refuses, and says how to name a simulator.

    Raises:
        UserError: always.
    """
    raise UserError("env=none has no simulator to step: name one, e.g. env=metaworld env.task=drawer-open")
