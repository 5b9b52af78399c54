"""The limits of each joint: how far, how fast and how hard it may move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from robo_reward.errors import UserError, unknown_name
from robo_reward.real_robot.braking import Floats

LEAST_TORQUE = 0.1


@dataclass(frozen=True)
class JointLimits:
    """Arrays (J,) in the joint's own unit (degrees, or percent of a gripper's opening) and seconds.

    ``lower``/``upper`` bound every goal; ``hard_lower``/``hard_upper`` is the calibrated range, outside of which a
    measured position is a fault. A goal between the two may only move inwards. ``start_lower``/``start_upper``: where a
    joint may be when the arm is powered: as far beyond limits that a person set as the margin is wide.
    """

    names: tuple[str, ...]
    lower: Floats
    upper: Floats
    hard_lower: Floats
    hard_upper: Floats
    start_lower: Floats
    start_upper: Floats
    velocity: Floats
    acceleration: Floats

    def __post_init__(self) -> None:
        for kind in fields(self)[1:]:
            values = getattr(self, kind.name)
            if values.shape != (len(self.names),) or not np.isfinite(values).all():
                raise UserError(f"limit '{kind.name}' is {values}; it must be {len(self.names)} finite numbers")
        for name, low, high in zip(self.names, self.lower, self.upper, strict=True):
            if not low < high:
                raise UserError(
                    f"joint '{name}' may move from {low:g} to {high:g}, no range: widen it or lower its margin"
                )
        if (self.velocity <= 0).any() or (self.acceleration <= 0).any():
            raise UserError(f"velocity {self.velocity} and acceleration {self.acceleration} must all be above 0")


@dataclass(frozen=True)
class LimitSettings:
    """What a person sets, for all joints or (in ``LimitPlan.joints``) for one; None keeps the default."""

    margin: float | None = None
    velocity: float | None = None
    acceleration: float | None = None
    lower: float | None = None
    upper: float | None = None
    torque: float | None = None


@dataclass(frozen=True)
class LimitPlan:
    """Limits as written in yaml; ``ranges`` of the calibrated arm make ``JointLimits`` of it.

    Defaults are those of ``docs/real_arm.md``: 60 deg/s, 300 deg/s^2, 5 degrees off each end of the range. ``torque``:
    share of what a motor can give, 0 to 1, for arms whose motors limit it themselves; None leaves theirs as it is.
    """

    margin: float = 5.0
    velocity: float = 60.0
    acceleration: float = 300.0
    joints: dict[str, LimitSettings] = field(default_factory=dict)
    torque: float | None = None

    def torques(self, names: Sequence[str]) -> dict[str, float]:
        """The share of each joint that is limited. UserError for shares that hold nothing up, or above 1."""
        own = {name: self.joints.get(name, LimitSettings()).torque for name in names}
        shares = {name: self.torque if share is None else share for name, share in own.items()}
        for name, share in shares.items():
            if share is not None and not LEAST_TORQUE <= share <= 1:
                raise UserError(
                    f"limits.torque={share} of '{name}' must lie between {LEAST_TORQUE} and 1: with less an arm falls"
                )
        return {name: share for name, share in shares.items() if share is not None}

    def limits(self, names: Sequence[str], ranges: Floats) -> JointLimits:
        """``ranges`` (J, 2): the calibrated range of each joint. Raises UserError for joints that do not exist."""
        own = self.joints
        for name in own:
            if name not in names:
                raise unknown_name("joint in the limits", name, names)
        rows = [self._row(own.get(name, LimitSettings()), *ends) for name, ends in zip(names, ranges, strict=True)]
        lower, upper, first, last, velocity, acceleration = np.array(rows, dtype=np.float64).T
        low, high = ranges[:, 0], ranges[:, 1]
        return JointLimits(tuple(names), lower, upper, low, high, first, last, velocity, acceleration)

    def _row(self, own: LimitSettings, low: float, high: float) -> tuple[float, ...]:
        margin = _or(own.margin, self.margin)
        if not margin >= 0:
            raise UserError(f"margin={margin} must be 0 or more")
        if any(end is not None and not np.isfinite(end) for end in (own.lower, own.upper)):
            raise UserError(f"limits.joints: lower={own.lower} and upper={own.upper} must be finite, or null for none")
        least, most = _or(own.lower, -np.inf), _or(own.upper, np.inf)
        lower, upper = max(low + margin, least), min(high - margin, most)
        first, last = max(low, least - margin), min(high, most + margin)
        return lower, upper, first, last, _or(own.velocity, self.velocity), _or(own.acceleration, self.acceleration)


def _or(value: float | None, default: float) -> float:
    return default if value is None else float(value)
