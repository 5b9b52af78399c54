"""What the quadruped senses, and how one observation of it is laid out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.locomotion.quadruped_model import FEET, STANDING
from robo_reward.envs.locomotion.rotations import gravity_in_body, matrices, to_body

Array = NDArray[np.float64]
SIZE = 50
"""Numbers in one observation without history."""
SCALE: NDArray[np.float32] = np.repeat(
    np.array([2.0, 0.25, 1.0, 2.0, 1.0, 1.0, 0.05, 1.0], np.float32), (3, 3, 3, 2, 1, 12, 12, 14)
)
"""(50,) of the numbers in an observation."""


class Sight(NamedTuple):
    """(N, ...) in SI units: velocity, turning and direction of gravity in the body's axes, the command, joint angles
    less the standing pose, their velocities, the last action, and the gait's clock in turns.
    """

    velocity: Array
    turning: Array
    gravity: Array
    command: Array
    joints: Array
    joint_speed: Array
    action: Array
    phase: Array

    def write(self, out: NDArray[Any]) -> None:
        """One observation (N, 50), still to be scaled; slice by slice, which is faster than concatenating."""
        angle = (2.0 * np.pi) * self.phase
        out[:, :3] = self.velocity
        out[:, 3:6] = self.turning
        out[:, 6:9] = self.gravity
        out[:, 9:12] = self.command
        out[:, 12:24] = self.joints
        out[:, 24:36] = self.joint_speed
        out[:, 36:48] = self.action
        out[:, 48] = np.sin(angle)
        out[:, 49] = np.cos(angle)


def look(qpos: Array, qvel: Array, command: Array, action: Array, phase: Array) -> Sight:
    """What robots sense that have these positions (N, 19) and velocities (N, 18)."""
    turn = matrices(qpos[:, 3:7])
    return Sight(
        velocity=to_body(turn, qvel[:, :3]),
        turning=qvel[:, 3:6],
        gravity=gravity_in_body(turn),
        command=command,
        joints=qpos[:, 7:] - STANDING,
        joint_speed=qvel[:, 6:],
        action=action,
        phase=phase,
    )


def number_names() -> tuple[str, ...]:
    """(50,) what the numbers of an observation are called."""
    joints = [f"{leg}_{joint}" for leg in FEET for joint in ("abduction", "hip", "knee")]
    axes = [f"{what}_{axis}" for what in ("velocity", "turning", "gravity", "command") for axis in "xyz"]
    parts = [f"{what}_{joint}" for what in ("angle", "speed", "action") for joint in joints]
    return (*axes, *parts, "clock_sine", "clock_cosine")
