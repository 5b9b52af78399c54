"""The faults of the list that spoil actions: a good action in, what a broken policy would send out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from robo_reward.errors import UserError

Action = dict[str, Any]
DRIFT = 0.5
"""Units per tick of the slow drift."""


def _changed(action: Mapping[str, float], key: str, value: float) -> Action:
    return {**action, key: value}


def _without_last(action: Mapping[str, float]) -> Action:
    return dict(list(action.items())[:-1])


_SPOILED: dict[int, Callable[[Mapping[str, float], str, int], Action]] = {
    1: lambda action, key, tick: _changed(action, key, math.nan),
    2: lambda action, key, tick: _changed(action, key, math.inf),
    3: lambda action, key, tick: _without_last(action),
    4: lambda action, key, tick: {k: v for k, v in action.items() if k != key},
    5: lambda action, key, tick: {**action, "tail.pos": 0.0},
    6: lambda action, key, tick: {k: math.degrees(v) for k, v in action.items()},
    7: lambda action, key, tick: _changed(action, key, action[key] + 500.0),
    8: lambda action, key, tick: {k: 90.0 if tick % 2 else (0.0 if k == "gripper.pos" else -90.0) for k in action},
    9: lambda action, key, tick: _changed(action, key, action[key] + DRIFT * tick),
    10: lambda action, key, tick: _changed(action, "gripper.pos", 160.0 if tick % 2 else -60.0),
}


def spoil(fault_id: int, action: Mapping[str, float], tick: int, key: str = "shoulder_lift.pos") -> Action:
    """The action {"shoulder_pan.pos": degrees, ...} of tick ``tick`` (0, 1, ... at 30 Hz) as fault 1 to 10 makes it.

    ``key``: the joint that is hit, where one is. The shape fault (3) drops the last joint, as a list of five would.

    Raises:
        UserError: for faults that do not spoil actions.
    """
    if fault_id not in _SPOILED:
        raise UserError(f"fault {fault_id} does not spoil actions; 1 to {len(_SPOILED)} do")
    return _SPOILED[fault_id](action, key, tick)
