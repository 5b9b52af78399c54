"""Between encoder ticks and LeRobot's units: what a calibrated arm has in its registers and in its calibration file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from robo_reward.joint_goals import JointSpec
from robo_reward.real_robot.emulation.registers import TICKS
from robo_reward.runs import atomic

MIDDLE = (TICKS - 1) / 2
"""The tick of a joint's zero: LeRobot's calibration homes every joint to the encoder's middle."""
TICKS_PER_RADIAN = TICKS / (2 * math.pi)
GRIPPER = "gripper"
HOMING_OFFSETS = (112, -341, 705, -58, 1290, -923)
"""How each servo of the emulated arm happens to be mounted, in ticks."""


class MotorCalibration(TypedDict):
    """One motor of LeRobot's calibration file; offset and range in ticks."""

    id: int
    drive_mode: int
    homing_offset: int
    range_min: int
    range_max: int


def calibrate(joints: Sequence[JointSpec]) -> dict[str, MotorCalibration]:
    """What LeRobot's calibration would find: ids 1.., every zero at the middle, ranges as far as the joints go."""
    return {joint.name: _of_joint(index, joint) for index, joint in enumerate(joints)}


def _of_joint(index: int, joint: JointSpec) -> MotorCalibration:
    low, high = (angle_to_tick(angle, joint) for angle in (joint.low, joint.high))
    return MotorCalibration(
        id=index + 1,
        drive_mode=0,
        homing_offset=HOMING_OFFSETS[index % len(HOMING_OFFSETS)],
        range_min=0 if joint.full_turn else max(0, math.floor(low)),
        range_max=TICKS - 1 if joint.full_turn else min(TICKS - 1, math.ceil(high)),
    )


def angle_to_tick(angle: float, joint: JointSpec) -> float:
    """Radians to the tick that a calibrated servo reports, unrounded."""
    return MIDDLE + (angle - joint.zero) * TICKS_PER_RADIAN


def tick_to_angle(tick: float, joint: JointSpec) -> float:
    """A reported tick to radians."""
    return joint.zero + (tick - MIDDLE) / TICKS_PER_RADIAN


def to_units(motor: str, tick: float, entry: MotorCalibration) -> float:
    """Ticks to LeRobot's units without its clipping: degrees, or 0..100 for the gripper (``_normalize``)."""
    low, high = entry["range_min"], entry["range_max"]
    if motor == GRIPPER:
        return (tick - low) / (high - low) * 100
    return (tick - (low + high) / 2) * 360 / (TICKS - 1)


def write_calibration(calibration: Mapping[str, MotorCalibration], folder: Path, robot_id: str) -> Path:
    """Writes ``folder/robot_id.json`` as LeRobot reads it (calibration_dir, id); returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{robot_id}.json"
    atomic.write_text(path, json.dumps(calibration, indent=4))
    return path
