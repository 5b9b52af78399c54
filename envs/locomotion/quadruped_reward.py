"""What a step of the quadruped is worth: tracking the command (the task), less regularisation of how it walks.

The terms are legged_gym's (Rudin et al. 2022), with a gait clock's stance and swing terms in place of its air time
(as in Siekmann et al. 2021, "Sim-to-real learning of all common bipedal gaits via periodic reward composition").
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.locomotion.task import squares
from robo_reward.errors import UserError

Array = NDArray[np.float64]
OFFSETS: Array = np.array([0.0, 0.5, 0.5, 0.0])
"""Trot: diagonal legs step together (front left, front right, rear left, rear right)."""
LEGS = ("abduction", "hip", "knee")


@dataclass(frozen=True, slots=True)
class Gait:
    """``frequency`` in steps of each leg per second, ``stance`` share of a step on the ground, ``lift`` in metres."""

    frequency: float = 2.0
    stance: float = 0.55
    lift: float = 0.07

    def __post_init__(self) -> None:
        if not 0.5 <= self.frequency <= 5.0 or not 0.3 <= self.stance <= 0.9 or not 0.0 <= self.lift <= 0.2:
            raise UserError(
                f"env.gait: frequency={self.frequency} must lie in [0.5, 5] Hz, stance={self.stance} in [0.3, 0.9] and "
                f"lift={self.lift} in [0, 0.2] m"
            )

    def legs(self, phase: Array) -> Array:
        """(N, 4) phases of the legs in [0, 1) from the clock's (N,); a leg should stand below ``stance``."""
        return fraction(phase[:, None] + OFFSETS)


def fraction(turns: Array) -> Array:
    """What is left of whole turns, in [0, 1); a third of the time of numpy's remainder."""
    return np.asarray(turns - np.floor(turns))


@dataclass(frozen=True, slots=True)
class RewardWeights:
    """Per second. ``velocity`` and ``turn`` pay for the command; the others are subtracted, or added where named so.

    ``sharpness``: m^2/s^2 within which the velocity term falls by a factor of e. ``step`` is added for feet that keep
    to the gait's clock.
    """

    velocity: float = 1.5
    turn: float = 0.5
    sharpness: float = 0.1
    step: float = 0.5
    swing: float = 1.0
    bounce: float = 1.0
    roll: float = 0.05
    tilt: float = 2.0
    height: float = 20.0
    jerk: float = 0.02
    pose: float = 0.1
    speed: float = 0.0002

    def __post_init__(self) -> None:
        for weight in fields(self):
            value = getattr(self, weight.name)
            if not np.isfinite(value):
                raise UserError(f"env.reward.{weight.name}={value} must be a finite number")
        if not self.sharpness > 0.0 or min(self.velocity, self.turn) < 0.0:
            raise UserError(
                f"env.reward: sharpness={self.sharpness} must be above 0 m^2/s^2, velocity={self.velocity} and "
                f"turn={self.turn} 0 or more: they pay for the command"
            )

    @property
    def task_bound(self) -> float:
        """The most that the task's terms pay in a second."""
        return self.velocity + self.turn


@dataclass(frozen=True, slots=True)
class Moment:
    """What the reward looks at: (N, ...) in SI units; velocities, turning and gravity in the body's axes."""

    velocity: Array
    turning: Array
    gravity: Array
    height: Array
    command: Array
    joints: Array
    joint_speed: Array
    action: Array
    action_before: Array
    contact: NDArray[np.bool_]
    clearance: Array
    phase: Array


HEIGHT = 0.27
"""Metres of the trunk's middle above the ground that are best."""
RADIUS = 0.02
"""Of a foot, metres."""


def rewards(now: Moment, off: Array, gait: Gait, weights: RewardWeights) -> tuple[Array, Array]:
    """(N,) reward and (N,) its task part, both per second; the reward is never negative.

    ``off`` (N,): square of the planar velocity's distance from the command, m^2/s^2 (``planar_error``).

    A negative sum would pay the robot for falling early (legged_gym's ``only_positive_rewards``).
    """
    task = _tracking(now, off, weights)
    return np.maximum(task + _stepping(now, gait, weights) - _effort(now, weights), 0.0), task


def planar_error(now: Moment) -> Array:
    """(N,) squares of the planar velocity's distance from the command, m^2/s^2."""
    return squares(now.velocity[:, :2] - now.command[:, :2])


def _tracking(now: Moment, off: Array, weights: RewardWeights) -> Array:
    turn = np.square(now.turning[:, 2] - now.command[:, 2])
    return np.asarray(weights.velocity * np.exp(off / -weights.sharpness) + weights.turn * np.exp(-4.0 * turn))


def _stepping(now: Moment, gait: Gait, weights: RewardWeights) -> Array:
    """Feet on the ground when the clock says so; in the air, at a height that rises and falls with the swing."""
    legs = gait.legs(now.phase)
    stands = legs < gait.stance
    wanted = np.sin((np.pi / (1.0 - gait.stance)) * (legs - gait.stance))
    wanted *= gait.lift
    short = np.maximum(wanted + RADIUS - now.clearance, 0.0)
    short[stands] = 0.0
    kept = (stands == now.contact).sum(1)
    missed = squares(short) / max(gait.lift, 0.01) ** 2
    return np.asarray((weights.step / 4.0) * kept - (weights.swing / 4.0) * missed)


def _effort(now: Moment, weights: RewardWeights) -> Array:
    parts = (
        now.velocity[:, 2:],
        now.turning[:, :2],
        now.gravity[:, :2],
        (now.height - HEIGHT)[:, None],
        now.action - now.action_before,
        now.joints,
        now.joint_speed,
    )
    squared = np.concatenate(parts, axis=1)
    np.square(squared, out=squared)
    return np.asarray(squared @ _effort_weights(weights))


@cache
def _effort_weights(weights: RewardWeights) -> Array:
    """(42,) of what ``_effort`` puts side by side."""
    each = (weights.bounce, weights.roll, weights.tilt, weights.height, weights.jerk, weights.pose, weights.speed)
    return np.repeat(each, (1, 2, 2, 1, 12, 12, 12))
