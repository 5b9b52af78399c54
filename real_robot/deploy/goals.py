"""Makes joint goals of a policy's actions, and keeps what was asked for near what the guard let through."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from robo_reward.real_robot.deploy.interface import PolicyInterface

Joints = NDArray[np.float64]


class GoalMaker:
    """Actions of control "steps" move the last goal that was sent.

    The arm follows a goal with its own acceleration, so a goal must run ahead of it by its way to rest or the arm never
    reaches full speed. Further ahead it must not run: where the guard holds the arm back, the goal waits.
    """

    def __init__(self, interface: PolicyInterface, acceleration: Joints) -> None:
        """``acceleration`` (J,): the guard's limits, in units per second squared."""
        self._interface = interface
        speed = np.array(interface.speed)
        self.leash: Joints = speed**2 / (2 * acceleration) + 2 * speed / interface.fps
        self._goal: Joints | None = None

    def begin(self) -> None:
        """Somebody else moved the arm: goals begin where it is sent now."""
        self._goal = None

    def goal(self, action: NDArray[np.float32], emitted: Joints) -> Joints:
        """The goal (J,) that an action (J,) asks for, while the guard sends ``emitted`` (J,)."""
        if self._interface.control == "goals":
            return np.asarray(action, np.float64)
        last = emitted if self._goal is None else self._goal
        near = np.clip(last, emitted - self.leash, emitted + self.leash)
        self._goal = self._interface.steps.goal(near, action)
        return self._goal

    def named(self, goal: Joints) -> Mapping[str, float]:
        """{joint: number} as the arm server wants it."""
        names = (key.removesuffix(".pos") for key in self._interface.joints)
        return {name: float(at) for name, at in zip(names, goal, strict=True)}
