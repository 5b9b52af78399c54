"""The twin's scripted expert as a policy: what ``deploy`` shows on an emulated arm where nothing was trained yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robo_reward.contracts import Flags, Floats, Observation
from robo_reward.errors import UserError

AHEAD = 6.0
"""Degrees by which a goal may lie ahead of its joint before the next is waited with; jaws that hold lag by more."""


class ScriptedPolicy:
    """Asks the emulated arm behind it for the expert's next goal, which a person would read off the table.

    It knows what no camera tells, so it shows the chain and no learning. ``twin``: the ``EmulatedProcess``.
    """

    def __init__(self, twin: Any, joints: Sequence[str]) -> None:
        """``joints``: LeRobot's keys. UserError where there is no twin."""
        if twin is None:
            raise UserError("a real arm needs run=DIR: the scripted expert knows emulated arms only")
        self._twin = twin
        self._ahead = np.where(["gripper" in name for name in joints], np.inf, AHEAD)
        self._last: list[float] | None = None

    def act(self, observation: Observation) -> Floats:
        """(1, 1, J) joint goals in LeRobot's units."""
        joints, first = observation.state[0].astype(np.float64), self._last is None
        last = joints if self._last is None else np.array(self._last)
        # the guard slows joints one by one, and goals that came too late were never sent: an arm that is behind is
        # waited for, since a path whose goals run away from it ends elsewhere, on top of what was to be pushed
        if first or (np.abs(last - joints) <= self._ahead).all():
            self._last = [float(value) for value in self._twin.ask("expert_goal", last=last.tolist(), fresh=first)]
        return np.array(self._last, np.float32)[None, None]

    def reset(self, fresh: Flags) -> None:
        """It begins anew."""
        self._last = None

    def save(self, folder: Path) -> None:
        """Nothing to save."""
