"""Refuses demonstrations of another robot before anything is stepped: states and actions are read by their places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from robo_reward.contracts import World
from robo_reward.errors import UserError
from robo_reward.gathering import TakesPolicy
from robo_reward.trace import Trace


def check_demonstration_sizes(
    world: World, demonstrations: Sequence[Trace], learner: Any, negatives: Any, *, states: bool = False
) -> None:
    """Compares the demonstrations' states (T+1, S) and actions (T, A) with the world's, which is closed if they differ.

    A learner that needs demonstrations learns from both, unless it is one of policies that are chosen apart, which
    have checks of their own. ``negatives``: the group of that name; what it replays wants the actions. ``states``:
    whether the reward reads them.

    Raises:
        UserError: that names a demonstration, both sizes, who reads them and the way out.
    """
    learns = getattr(learner, "needs_demonstrations", True) and not isinstance(learner, TakesPolicy)
    replays = (negatives.get("replay") or 0) + (negatives.get("hollow") or 0) > 0
    actors = ["the learner"] * bool(learns) + ["negatives.replay and negatives.hollow"] * replays
    seers = ["the learner"] * bool(learns) + ["the reward"] * states
    for number, shown in enumerate(demonstrations):
        for what, size, expected, readers in (
            ("actions", shown.action.shape[1], world.action_space.shape[0], actors),
            ("states", shown.state.shape[1], world.state_size, seers),
        ):
            if readers and size != expected:
                world.close()
                raise UserError(
                    f"demonstration {number} has {what} of size {size}, '{world.name}' has {what} of size {expected}, "
                    f"and {' and '.join(readers)} would use them: {_way_out(what, learns)}"
                )


def check_recorded_sizes(world: World, recorded: Sequence[Trace], source: str, *, states: bool) -> None:
    """Compares the actions (T, A) of an audit's recorded episodes with the world's, in which its attack replays them.

    ``states``: the reward reads states, so that (T+1, S) must agree too.

    Raises:
        UserError: that names an episode, both sizes and the way out.
    """
    for number, shown in enumerate(recorded):
        for what, size, expected, use in (
            ("actions", shown.action.shape[1], world.action_space.shape[0], "the attack would replay them there"),
            ("states", shown.state.shape[1], world.state_size, "the reward reads them in both"),
        ):
            if size != expected and (states or what == "actions"):
                raise UserError(
                    f"episode {number} of '{source}' has {what} of size {size}, '{world.name}' has {what} of size "
                    f"{expected}, and {use}: give env=... of the robot that recorded it, or attack=null"
                )


def _way_out(what: str, learns: bool) -> str:
    if learns:
        return "record demonstrations in this world (robo-reward collect), or use learner=ppo, which needs none"
    if what == "actions":
        return "set negatives.replay=0 and negatives.hollow=0, or record demonstrations in this world"
    return "record demonstrations in this world (robo-reward collect), or give the reward views that it reads instead"
