"""Streams of goals that try to break a limiter, and a small arm with kinematics in closed form."""

from __future__ import annotations

import numpy as np

from robo_reward.real_robot.braking import Floats
from robo_reward.real_robot.limiter import Limiter
from robo_reward.real_robot.limits import JointLimits, LimitPlan, LimitSettings
from robo_reward.real_robot.workspace import BoxWorkspace

NAMES = ("pan", "lift", "elbow", "gripper")
RANGES = np.array([[-110.0, 110.0], [-100.0, 100.0], [-97.0, 97.0], [0.0, 100.0]])
PERIOD = 0.02
TOLERANCE = 1e-6
"""What rounding may add, in the unit of each limit."""


def tip(joints: Floats) -> Floats:
    """(..., 4) degrees and percent -> (..., 3) metres: two links of 0.12 m and 0.13 m on a turning shoulder."""
    pan, lift, elbow = np.moveaxis(np.deg2rad(joints[..., :3]), -1, 0)
    radius = 0.12 * np.sin(lift) + 0.13 * np.sin(lift + elbow)
    height = 0.1 + 0.12 * np.cos(lift) + 0.13 * np.cos(lift + elbow)
    return np.stack([radius * np.cos(pan), radius * np.sin(pan), height], axis=-1)


def limits() -> JointLimits:
    gripper = LimitSettings(margin=0.0, velocity=200.0, acceleration=1000.0)
    return LimitPlan(joints={"gripper": gripper}).limits(NAMES, RANGES)


def workspace() -> BoxWorkspace:
    return BoxWorkspace(tip, (-0.2, -0.2, 0.02), (0.2, 0.2, 0.4), 0.25)


def limiter(arms: int) -> Limiter:
    made = Limiter(limits(), PERIOD, workspace())
    made.start(np.tile([0.0, 20.0, 30.0, 50.0], (arms, 1)))
    return made


def goals(rng: np.random.Generator, arms: int, steps: int) -> Floats:
    """(steps, arms, 4): uniform, jumps far outside, bang-bang, slow drift, walks; one in twenty holds a NaN or inf."""
    shape = (steps, arms, len(NAMES))
    low, high = RANGES.T
    bang = np.sign(np.sin(np.arange(steps)[:, None, None] * rng.uniform(0.1, 3.1, (1, arms, 4))))
    kinds = np.stack(
        [
            rng.uniform(2 * low, 2 * high, shape),
            rng.choice([-1e300, -500.0, 0.0, 500.0, 1e300], shape),
            bang * 150,
            np.cumsum(rng.normal(0.05, 0.01, shape), axis=0) * rng.choice([-3.0, 3.0], (1, arms, 4)),
            np.cumsum(rng.normal(0.0, 2.0, shape), axis=0),
        ]
    )
    chosen = np.take_along_axis(kinds, rng.integers(0, len(kinds), (1, 1, arms, 1)), axis=0)[0]
    bad = rng.random(shape) < 0.0125
    return np.where(bad, rng.choice([np.nan, np.inf, -np.inf], shape), chosen)


def run(moved: Limiter, asked: Floats) -> Floats:
    """(steps + 1, N, J): the start and each emitted goal."""
    return np.stack([moved.command.copy(), *(moved.step(goal).copy() for goal in asked)])


def violations(emitted: Floats) -> dict[str, int]:
    """How many of the goals (steps + 1, N, J), begun at rest, break each of the limits of this module."""
    bounds, space = limits(), workspace()
    velocity = np.diff(emitted, axis=0) / PERIOD
    changes = np.diff(np.concatenate([np.zeros_like(velocity[:1]), velocity]), axis=0) / PERIOD
    tips = tip(emitted)
    tip_speed = np.linalg.norm(np.diff(tips, axis=0), axis=-1) / PERIOD
    broken = {
        "not_finite": ~np.isfinite(emitted),
        "position": (emitted < bounds.lower - TOLERANCE) | (emitted > bounds.upper + TOLERANCE),
        "velocity": np.abs(velocity) > bounds.velocity + TOLERANCE,
        "acceleration": np.abs(changes) > bounds.acceleration + TOLERANCE / PERIOD,
        "workspace": (tips < np.array(space.low) - TOLERANCE) | (tips > np.array(space.high) + TOLERANCE),
        "tip_speed": (tip_speed > space.speed + TOLERANCE)[..., None],
    }
    return {name: int(rows.any(axis=-1).sum()) for name, rows in broken.items()}


def check(emitted: Floats) -> None:
    """Raises AssertionError that counts what was broken."""
    found = {name: count for name, count in violations(emitted).items() if count}
    assert not found, f"goals outside the limits: {found}"
