"""A LeRobot robot of somebody else's: two joints that are where they were sent last; a file tells what they heard."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lerobot.robots.config import RobotConfig
from lerobot.robots.robot import Robot


@RobotConfig.register_subclass("plain_arm")
@dataclass
class PlainArmConfig(RobotConfig):
    """``log``: a line for each goal that reached the motors, and one when torque went on or off."""

    log: str = ""


class PlainArm(Robot):
    config_class = PlainArmConfig
    name = "plain_arm"
    action_features = property(lambda self: {"lift.pos": float, "jaw.pos": float})
    observation_features = action_features
    is_connected = property(lambda self: self._on)
    is_calibrated = property(lambda self: True)

    def __init__(self, config: PlainArmConfig) -> None:
        super().__init__(config)
        self.log, self.at, self._on = Path(config.log), {"lift.pos": 0.0, "jaw.pos": 0.0}, False

    def _tell(self, what: Any) -> None:
        with open(self.log, "a", encoding="utf-8") as file:
            file.write(json.dumps(what) + "\n")

    def connect(self, calibrate: bool = True) -> None:
        self._on = True
        self._tell("on")

    def disconnect(self) -> None:
        self._on = False
        self._tell("off")

    def calibrate(self) -> None: ...

    def configure(self) -> None: ...

    def get_observation(self) -> dict[str, Any]:
        return dict(self.at)

    def send_action(self, action: dict[str, Any]) -> dict[str, Any]:
        self.at = dict(action)
        self._tell(action)
        return action
