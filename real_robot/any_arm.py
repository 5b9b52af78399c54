"""Drives any other LeRobot robot through its public methods, with what can be promised then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from robo_reward.real_robot.arm_driver import ArmRefused, Reading
from robo_reward.real_robot.braking import Floats

if TYPE_CHECKING:
    from lerobot.robots.robot import Robot


class AnyArm:
    """Joints are the action keys that end in ``.pos``; ``ranges`` {joint: (lowest, highest)} a person must know.

    Weaker than ``FeetechArm``: the robot's own ``connect`` switches torque on in its own way, no port is locked, and
    heat, current and status are not watched.
    """

    def __init__(self, robot: Robot, ranges: Mapping[str, tuple[float, float]]) -> None:
        self.robot = robot
        self.ranges = ranges
        self.names = tuple(key.removesuffix(".pos") for key in robot.action_features if key.endswith(".pos"))

    def open(self) -> Floats:
        """Raises ArmRefused where a range is not known, or the robot has no joint positions or no calibration."""
        other = sorted(key for key in self.robot.action_features if not key.endswith(".pos"))
        if other or not self.names:
            raise ArmRefused(f"robot '{self.robot.name}' takes {other or 'nothing'}; only joint positions are guarded")
        missing = sorted(set(self.names) - set(self.ranges))
        if missing:
            raise ArmRefused(f"robot '{self.robot.name}' does not tell the range of {missing}: set it under ranges")
        if not self.robot.is_calibrated and self.robot.calibration_fpath.exists():
            raise ArmRefused(f"robot '{self.robot.name}' says that it is not calibrated: run lerobot-calibrate")
        try:
            self.robot.connect(calibrate=False)
        except Exception as error:
            raise ArmRefused(f"robot '{self.robot.name}' cannot be connected: {error}") from error
        return np.array([self.ranges[name] for name in self.names], dtype=np.float64)

    def power(self) -> None:
        """Nothing: ``connect`` did it."""

    def read(self) -> Reading:
        seen = self.robot.get_observation()
        return Reading(np.array([seen[f"{name}.pos"] for name in self.names], dtype=np.float64))

    def write(self, goal: Floats) -> None:
        self.robot.send_action({f"{name}.pos": float(at) for name, at in zip(self.names, goal, strict=True)})

    def cut(self) -> Mapping[str, str]:
        """Motor by motor where the robot has one of LeRobot's buses, else by the robot's ``disconnect``."""
        bus: Any = getattr(self.robot, "bus", None)
        if hasattr(bus, "disable_torque") and set(self.names) <= set(getattr(bus, "motors", ())):
            return {name: _tried(bus.disable_torque, name) for name in self.names}
        return dict.fromkeys(self.names, _tried(self.robot.disconnect))

    def close(self) -> None:
        _tried(self.robot.disconnect)


def _tried(call: Any, *arguments: Any) -> str:
    try:
        call(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "off"
