"""LeRobot's SO-101 on an emulated bus, and waiting for what it does."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robo_reward.real_robot.emulation.emulated_arm import EmulatedArm
from robo_reward.real_robot.emulation.patience import be_patient


def follower(arm: EmulatedArm, folder: Path, patience: float) -> Any:
    from lerobot.robots.so_follower import SO101Follower, SO101FollowerConfig

    arm.write_calibration(folder, "emulated")
    made = SO101Follower(SO101FollowerConfig(port=arm.port, id="emulated", calibration_dir=folder))
    be_patient(made.bus, patience)
    return made


def arrived(arm: EmulatedArm, goal: dict[str, float]) -> bool:
    true = arm.positions()
    return all(abs(true[key] - value) < 0.1 for key, value in goal.items())


def wait_for(found: Callable[[], bool], seconds: float = 5.0) -> None:
    until = time.perf_counter() + seconds
    while not found():
        assert time.perf_counter() < until, "it did not happen in time"
        time.sleep(0.01)
