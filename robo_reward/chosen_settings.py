"""What ``evaluate`` is asked to change about the world of a run."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from robo_reward.errors import UserError

EVALUATION = {
    "num_worlds": "episodes are measured one after another; episodes=NUMBER says how many",
    "workers": "one world needs no processes; leave it out",
    "oracle": "an evaluation looks at no reward; leave it out",
}
"""Settings of the world that an evaluation makes itself, and what to do instead."""


def chosen_settings(
    asked: Mapping[str, Any] | None, world: Mapping[str, Any], taken: Mapping[str, str]
) -> dict[str, Any]:
    """The settings of ``asked``, the group ``env``, that are not null.

    ``world``: the run's own group. ``taken``: settings that the caller makes itself -> what to do instead.

    Raises:
        UserError: a setting that is taken, or that the run's world does not have.
    """
    chosen = {str(name): value for name, value in (asked or {}).items() if value is not None}
    for name, value in chosen.items():
        if name in taken:
            raise UserError(f"env.{name}={value} has no use here: {taken[name]}")
        if name not in world:
            lacks = f"the world of this run ({world.get('_target_')}) has no such setting"
            raise UserError(f"env.{name}={value}: {lacks}{_near(name, world)}")
    return chosen


def _near(name: str, world: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, [str(key) for key in world], n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""
