"""Joints and their goals: what a joint is, what servos ask of it, how it gets there, actions as steps of a goal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError

Joints = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class JointSpec:
    """One joint: LeRobot's name for its motor, range in radians, and whether it is read as 0..100 instead of degrees.

    ``zero``: the angle that LeRobot calls 0 degrees, and that stands at the encoder's middle; the range's middle for
    most arms. Turns all the way round (``full_turn``): its calibrated range is the whole encoder.
    """

    name: str
    low: float
    high: float
    zero: float = 0.0
    percent: bool = False
    full_turn: bool = False


@dataclass(frozen=True, slots=True)
class Drive:
    """What the servos ask of the joints, each (J,).

    ``goal`` radians; ``powered``: torque is on; ``speed`` rad/s and ``acceleration`` rad/s^2 bound the way to the goal;
    ``torque``: share of the strongest torque, 0 to 1; ``jammed``: the joint cannot move.
    """

    goal: Joints
    powered: Flags
    speed: Joints
    acceleration: Joints
    torque: Joints
    jammed: Flags


def approach(
    at: Joints, velocity: Joints, goal: Joints, speed: Joints, acceleration: Joints, seconds: float
) -> tuple[Joints, Joints]:
    """One step of (J,) set-points towards goals: bounded speed and acceleration, braking in time.

    Positions in any unit u, ``velocity`` and ``speed`` u/s, ``acceleration`` u/s^2, all finite. Returns the set-points
    and their velocities ``seconds`` later; from rest they do not pass their goals.
    """
    error = goal - at
    distance = np.abs(error)
    change = acceleration * seconds
    # the fastest from which one more step and then full braking still end at the goal
    braking = np.sqrt(change**2 + 2 * acceleration * distance) - change
    wanted = np.sign(error) * np.minimum(speed, braking)
    velocity = np.clip(wanted, velocity - change, velocity + change)
    return at + velocity * seconds, velocity


@dataclass(frozen=True, slots=True)
class GoalSteps:
    """Actions (J,) in [-1, 1] as steps of the previous goal: 1 is ``speed`` units a second for one decision.

    ``low``, ``high``, ``speed``: per joint, in LeRobot's units (degrees, gripper 0..100). ``fps``: decisions a second.
    A policy that acts so is deployed through the same object, with the goal that was last *sent* as ``previous``.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    speed: tuple[float, ...]
    fps: float

    def __post_init__(self) -> None:
        if not len(self.low) == len(self.high) == len(self.speed):
            raise UserError(
                f"low, high and speed need one number a joint each, got {self.low}, {self.high}, {self.speed}"
            )
        if self.fps <= 0 or min(self.speed) <= 0:
            raise UserError(f"fps and speed must be above 0, got {self.fps} and {self.speed}")

    def goal(self, previous: Sequence[float] | Joints, action: Sequence[float] | NDArray[np.float32]) -> Joints:
        """The next goal (J,). Actions beyond [-1, 1] count as the bound."""
        step = np.clip(np.asarray(action, np.float64), -1, 1) * np.array(self.speed) / self.fps
        limited: Joints = np.clip(np.asarray(previous, np.float64) + step, self.low, self.high)
        return limited

    def action(self, previous: Sequence[float] | Joints, goal: Sequence[float] | Joints) -> NDArray[np.float32]:
        """The action (J,) that leads from one goal towards another, as far as one decision gets."""
        step = (np.asarray(goal, np.float64) - np.asarray(previous, np.float64)) * self.fps / np.array(self.speed)
        limited: NDArray[np.float32] = np.clip(step, -1, 1).astype(np.float32)
        return limited
