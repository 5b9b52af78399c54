"""A plant without a simulator: six joints that follow their set-points exactly. For tests of buses and guards."""

from __future__ import annotations

from math import radians

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import unknown_name
from robo_reward.joint_goals import Drive, Joints, JointSpec, approach

SO101_JOINTS = (
    JointSpec("shoulder_pan", radians(-110), radians(110)),
    JointSpec("shoulder_lift", radians(-100), radians(100)),
    JointSpec("elbow_flex", radians(-96.8), radians(96.8)),
    JointSpec("wrist_flex", radians(-95), radians(95)),
    JointSpec("wrist_roll", radians(-157.2), radians(162.8), full_turn=True),
    JointSpec("gripper", radians(-10), radians(100), zero=radians(45), percent=True),
)
"""Ranges of the SO-101's public model (TheRobotStudio/SO-ARM100, Simulation/SO101)."""
STEP = 0.002
SAG = radians(20)
"""Radians per second by which an unpowered lift or elbow sinks."""


class IdealPlant:
    """Joints at ``start`` degrees from their zeros. Unpowered lift and elbow sink to the end of their range.

    ``sags`` False: they stay where they are, as on a table or in somebody's hand.
    """

    def __init__(
        self, joints: tuple[JointSpec, ...] = SO101_JOINTS, start: tuple[float, ...] | None = None, sags: bool = True
    ) -> None:
        self.joints, self.views = joints, ("front", "wrist")
        self._start = np.radians(start if start is not None else np.zeros(len(joints)))
        self._start += np.array([joint.zero for joint in joints])
        self._low = np.array([joint.low for joint in joints])
        self._high = np.array([joint.high for joint in joints])
        sinking = ("shoulder_lift", "elbow_flex") if sags else ()
        self._sag = np.array([SAG if joint.name in sinking else 0.0 for joint in joints])
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Always the same start."""
        self._at: Joints = self._start.copy()
        self._velocity: Joints = np.zeros(len(self.joints))
        self._load: Joints = np.zeros(len(self.joints))

    def advance(self, seconds: float, drive: Drive) -> None:
        """In steps of at most 2 ms."""
        steps = max(1, round(seconds / STEP))
        for _ in range(steps):
            self._move(seconds / steps, drive)

    def angles(self) -> Joints:
        return self._at.copy()

    def speeds(self) -> Joints:
        return self._velocity.copy()

    def loads(self) -> Joints:
        """The torque share of a jammed joint that wants to move, else a tenth for a moving one."""
        return self._load.copy()

    def picture(self, view: str, height: int, width: int) -> NDArray[np.uint8]:
        """A grey picture; in each of as many bands as there are joints a bright mark follows one of them.

        Each view has a tint of its own.
        """
        if view not in self.views:
            raise unknown_name("view", view, self.views)
        frame = np.full((height, width, 3), 60, np.uint8)
        frame[..., self.views.index(view)] = 120
        shares = np.clip((self._at - self._low) / (self._high - self._low), 0, 1)
        bands = np.array_split(np.arange(height), len(shares))
        for rows, column in zip(bands, (shares * (width - 1)).astype(int), strict=True):
            frame[rows[0] : rows[-1] + 1, max(0, column - 1) : column + 2] = 250
        return frame

    def close(self) -> None:
        """There is nothing to free."""

    def _move(self, seconds: float, drive: Drive) -> None:
        free = drive.powered & ~drive.jammed & (drive.torque > 0)
        to, velocity = approach(self._at, self._velocity, drive.goal, drive.speed, drive.acceleration, seconds)
        sinking = np.where(drive.powered | drive.jammed, 0.0, self._sag)
        self._velocity = np.where(free, velocity, sinking)
        self._at = np.where(free, to, self._at + sinking * seconds)
        self._velocity = np.where((self._at >= self._high) | (self._at <= self._low), 0.0, self._velocity)
        self._at = np.clip(self._at, self._low, self._high)
        wants = np.abs(drive.goal - self._at) > radians(0.5)
        pushing = np.where(drive.jammed, drive.torque, 0.1 * np.minimum(1, drive.torque))
        self._load = np.where(drive.powered & wants, np.sign(drive.goal - self._at) * pushing, 0.0)
