"""Where the things are that a task is about: labels for auxiliary losses on demonstrations, nothing for a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.libero.facts import Facts
from robo_reward.envs.libero.sim import LiberoSim

if TYPE_CHECKING:
    import mujoco


def places(sim: LiberoSim, facts: Facts | None = None) -> NDArray[np.float32]:
    """(6,) metres, world axes: what the goal's first predicate moves, and where that belongs.

    Of several goals the first that does not hold, else the last. A goal without a destination (open, turn on) has the
    same place twice. ``facts``: of the task that is asked about, whose things must be in the scene; None: its own.
    """
    goals = (facts or sim.facts).goals
    waiting = [goal for goal in goals if not sim.robosuite._eval_predicate(list(goal))]
    names = (waiting or goals[-1:])[0][1:3]
    found = [_place(sim.model, sim.data, name) for name in names]
    return np.concatenate([found[0], found[-1]]).astype(np.float32)


def _place(model: mujoco.MjModel, data: mujoco.MjData, name: str) -> NDArray[np.float64]:
    """(3,) of a thing's root body, or of a region."""
    import mujoco

    for kind, full, where in (
        (mujoco.mjtObj.mjOBJ_SITE, name, data.site_xpos),
        (mujoco.mjtObj.mjOBJ_BODY, f"{name}_main", data.xpos),
        (mujoco.mjtObj.mjOBJ_BODY, name, data.xpos),
    ):
        number = mujoco.mj_name2id(model, kind, full)
        if number >= 0:
            return np.array(where[number])
    raise KeyError(f"the scene has neither a region nor a thing '{name}'")
