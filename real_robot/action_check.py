"""Tells an action that can be meant from one that cannot: kind, keys, numbers, unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from robo_reward.real_robot.braking import Floats
from robo_reward.real_robot.limits import JointLimits

UNIT_MISTAKE = 2.0
"""A goal this many half-ranges from the middle is in another unit, not merely too far."""


class ActionCheck:
    """Reads goals {joint name: number}; what is merely too far is left to the limiter, which clips it."""

    def __init__(self, limits: JointLimits) -> None:
        self.names = limits.names
        self._middle = (limits.hard_lower + limits.hard_upper) / 2
        self._half = (limits.hard_upper - limits.hard_lower) / 2

    def read(self, goal: object) -> Floats | str:
        """The goal as (J,) in the order of the joints, or why it is refused."""
        if not isinstance(goal, Mapping):
            return f"an action is a mapping from joint to number, not {type(goal).__name__}"
        missing, unknown = set(self.names) - set(goal), set(goal) - set(self.names)
        if missing or unknown:
            return f"action with missing joints {sorted(missing)} and unknown joints {sorted(map(str, unknown))}"
        values = np.empty(len(self.names))
        for at, name in enumerate(self.names):
            number = _number(goal[name])
            if number is None:
                return f"action for '{name}' is {type(goal[name]).__name__}, not one number"
            values[at] = number
        return self._judge(values)

    def _judge(self, values: Floats) -> Floats | str:
        finite = np.isfinite(values)
        if not finite.all():
            at = int(np.argmin(finite))
            return f"action for '{self.names[at]}' is {values[at]}"
        far = np.abs(values - self._middle) > UNIT_MISTAKE * self._half
        if far.any():
            at = int(np.argmax(far))
            low, high = self._middle[at] - self._half[at], self._middle[at] + self._half[at]
            return (
                f"action for '{self.names[at]}' is {values[at]:g}, far outside its range {low:.0f} to {high:.0f}: "
                "is it in another unit?"
            )
        return values


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return None
    try:
        return float(value)
    except (OverflowError, TypeError):
        return None
