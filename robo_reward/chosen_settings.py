"""What the world of an evaluation has otherwise than the run's: of the run's own, and what ``evaluate`` is asked."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robo_reward.errors import UserError
from robo_reward.trust import check_recipe

EVALUATION = {
    "num_worlds": "episodes are measured one after another; episodes=NUMBER says how many",
    "workers": "one world needs no processes; leave it out",
    "oracle": "an evaluation looks at no reward; leave it out",
}
"""Settings of the world that an evaluation makes itself, and what to do instead."""


def settings_of_test(trained: Mapping[str, Any]) -> dict[str, Any]:
    """What an adapt run's evaluation did otherwise than its adaptation (``test``); {} of train runs."""
    return _plain(trained.get("test"))


def own_settings(trained: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """What the run's own evaluation did otherwise than its training (``env.evaluation`` and ``test``).

    ``trained``: the config that ``file`` holds.

    Raises:
        UserError: if ``test`` names anything but classes of ours (``trust``).
    """
    env, test = _plain(trained["env"]), settings_of_test(trained)
    check_recipe({**env, "test": test}, file, "robo_reward.envs")
    return {**(env.get("evaluation") or {}), **test}


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


def _plain(part: Any) -> dict[str, Any]:
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(OmegaConf.create(part or {}), resolve=True)
    return dict(plain)


def _near(name: str, world: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, [str(key) for key in world], n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""
