"""What a step of the quadruped is worth: tracking the command (the task), less regularisation of how it walks.

The terms are legged_gym's (Rudin et al. 2022), with a gait clock's stance and swing terms in place of its air time
(as in Siekmann et al. 2021, "Sim-to-real learning of all common bipedal gaits via periodic reward composition").
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.locomotion.quadruped_sight import Sight
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
        turns = phase[:, None] + OFFSETS
        turns -= np.floor(turns)  # a third of the time of numpy's remainder
        return turns


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


class Moment(NamedTuple):
    """What the reward looks at, (N, ...) in SI units, besides what the robots sense.

    ``jerk`` (N, 12): the action less the one before it. ``height`` (N,) of the trunk and ``clearance`` (N, 4) of the
    feet above the ground; ``contact`` (N, 4) of the feet with it.
    """

    sight: Sight
    jerk: Array
    height: Array
    clearance: Array
    contact: NDArray[np.bool_]


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
    off = now.sight.velocity[:, :2] - now.sight.command[:, :2]
    np.square(off, out=off)
    return np.asarray(off[:, 0] + off[:, 1])


def _tracking(now: Moment, off: Array, weights: RewardWeights) -> Array:
    turn = np.square(now.sight.turning[:, 2] - now.sight.command[:, 2])
    return np.asarray(weights.velocity * np.exp(off / -weights.sharpness) + weights.turn * np.exp(-4.0 * turn))


def _stepping(now: Moment, gait: Gait, weights: RewardWeights) -> Array:
    """Feet on the ground when the clock says so; in the air, at a height that rises and falls with the swing."""
    legs = gait.legs(now.sight.phase)
    swings = legs >= gait.stance
    legs -= gait.stance
    legs *= np.pi / (1.0 - gait.stance)
    short = np.sin(legs)
    short *= gait.lift
    short += RADIUS
    short -= now.clearance
    np.maximum(short, 0.0, out=short)
    short *= swings
    np.square(short, out=short)
    kept = _over_feet((swings != now.contact) * (weights.step / 4.0))
    missed = _over_feet(short) / max(gait.lift, 0.01) ** 2
    return np.asarray(kept - (weights.swing / 4.0) * missed)


def _over_feet(feet: Array) -> Array:
    """(N,) sums of (N, 4), fronts to rears first; column by column, since numpy is slow on short rows."""
    sides = feet[:, :2] + feet[:, 2:]
    return np.asarray(sides[:, 0] + sides[:, 1])


def _effort(now: Moment, weights: RewardWeights) -> Array:
    sight = now.sight
    parts = (
        sight.velocity[:, 2:],
        sight.turning[:, :2],
        sight.gravity[:, :2],
        (now.height - HEIGHT)[:, None],
        now.jerk,
        sight.joints,
        sight.joint_speed,
    )
    squared = np.concatenate(parts, axis=1)
    np.square(squared, out=squared)
    return np.asarray(squared @ _effort_weights(weights))


@cache
def _effort_weights(weights: RewardWeights) -> Array:
    """(42,) of what ``_effort`` puts side by side."""
    each = (weights.bounce, weights.roll, weights.tilt, weights.height, weights.jerk, weights.pose, weights.speed)
    return np.repeat(each, (1, 2, 2, 1, 12, 12, 12))
