"""Reach, push, pick-and-place on the SO-101's table: where things start, what counts as done, a dense reward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import unknown_name

Place = NDArray[np.float64]
Draw = Callable[[np.random.Generator], dict[str, Place]]
CUBE_HALF = 0.0125
SHELF_TOP = 0.024
REACHED, PUSHED, PLACED, RETURNED = 0.02, 0.025, 0.025, 0.03
"""Metres of tolerance: fingertips to ball, cube to disc, cube to the shelf's middle, cube to the table's."""
MIDDLE = np.array([0.21, 0.0, CUBE_HALF])
"""Metres: where ``push-back`` brings the cube."""
AWAY = np.array([6.0, 0.0, 0.0])
CUBE_AWAY = np.array([6.0, 2.0, CUBE_HALF])
"""Where things go that a task does not use: behind every camera, the cube on the table's plane."""


@dataclass(frozen=True, slots=True)
class Task:
    """``thing``: the body that has to move, None for the hand itself; ``goal``: the body that shows where to."""

    name: str
    instruction: str
    horizon: int
    thing: str | None
    goal: str
    draw: Draw
    tolerance: float
    height: float = 0.0
    """Metres of the goal's centre over the goal body."""
    place: Place | None = None
    """(3,) metres: a goal that no body shows."""
    undone_by: str | None = None
    """The task that brings things back to where this one can begin."""

    def begin(self, model: Any, data: Any, rng: np.random.Generator) -> None:
        """Places the task's things and hides the others."""
        drawn = self.draw(rng)
        for name in ("target", "zone", "shelf"):
            data.mocap_pos[model.body(name).mocapid[0]] = drawn.get(name, AWAY)
        first = model.joint("cube").qposadr[0]
        data.qpos[first : first + 3] = drawn.get("cube", CUBE_AWAY)
        # Faces towards the arm, more or less: the hand takes it without turning.
        yaw = float(np.arctan2(data.qpos[first + 1], data.qpos[first] - 0.0388) + rng.uniform(-0.15, 0.15))
        data.qpos[first + 3 : first + 7] = (np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))

    def finish(self, model: Any, data: Any) -> None:
        """Puts the thing where it belongs."""
        first = model.joint(self.thing).qposadr[0]
        data.qpos[first : first + 3] = self.aim(data)

    def moved(self, data: Any) -> Place:
        """(3,) metres: what has to get to the goal."""
        place: Place = (data.site("tcp").xpos if self.thing is None else data.body(self.thing).xpos).copy()
        return place

    def aim(self, data: Any) -> Place:
        """(3,) metres: where it has to get."""
        if self.place is not None:
            return self.place.copy()
        place: Place = data.body(self.goal).xpos + np.array([0, 0, self.height])
        return place

    def success(self, model: Any, data: Any) -> bool:
        """Within the tolerance; a placed cube must lie there, let go."""
        offset = self.moved(data) - self.aim(data)
        if self.thing is None:
            return bool(np.linalg.norm(offset) < self.tolerance)
        if np.hypot(offset[0], offset[1]) >= self.tolerance or abs(offset[2]) > 0.008:
            return False
        return self.goal != "shelf" or not _held(model, data)

    def reward(self, data: Any) -> float:
        """0 to 1 a step: half for the hand near the thing, half for the thing near its goal."""
        left = 1 - np.tanh(8 * np.linalg.norm(self.moved(data) - self.aim(data)))
        if self.thing is None:
            return float(left)
        near = 1 - np.tanh(8 * np.linalg.norm(data.site("tcp").xpos - self.moved(data)))
        return float(0.5 * near + 0.5 * left)


def _held(model: Any, data: Any) -> bool:
    """Whether a jaw touches the cube."""
    cube = model.geom("cube").id
    jaws = {model.geom("fixed_jaw").id, model.geom("moving_jaw").id}
    pairs = data.contact.geom[: data.ncon]
    return any(cube in pair and jaws & set(pair.tolist()) for pair in pairs)


def _reach(rng: np.random.Generator) -> dict[str, Place]:
    return {"target": _around(rng, (0.18, 0.27), 35.0, rng.uniform(0.05, 0.18))}


def _push(rng: np.random.Generator) -> dict[str, Place]:
    cube = _around(rng, (0.19, 0.23), 20.0, CUBE_HALF)
    heading = np.arctan2(cube[1], cube[0]) + rng.uniform(-1.2, 1.2)
    way = rng.uniform(0.05, 0.07) * np.array([np.cos(heading), np.sin(heading), 0.0])
    return {"cube": cube, "zone": np.array([*(cube + way)[:2], 0.0])}


def _push_back(rng: np.random.Generator) -> dict[str, Place]:
    heading = rng.choice([-1.0, 1.0]) * rng.uniform(0.6, 1.2)  # the arm hardly gets behind what lies straight ahead
    zone = MIDDLE + rng.uniform(0.05, 0.07) * np.array([np.cos(heading), np.sin(heading), 0.0])
    return {"cube": zone, "zone": np.array([*zone[:2], 0.0])}


def _pick_and_place(rng: np.random.Generator) -> dict[str, Place]:
    side = rng.choice([-1.0, 1.0])
    cube = _around(rng, (0.2, 0.24), 10.0, CUBE_HALF)
    shelf = np.array([rng.uniform(0.18, 0.23), side * rng.uniform(0.1, 0.125), SHELF_TOP / 2])
    return {"cube": cube, "shelf": shelf}


def _around(rng: np.random.Generator, radius: tuple[float, float], degrees: float, height: float) -> Place:
    """A place in front of the arm, at most ``degrees`` to either side."""
    r, side = rng.uniform(*radius), np.radians(rng.uniform(-degrees, degrees))
    return np.array([r * np.cos(side), r * np.sin(side), height])


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("reach", "move the gripper to the green ball", 120, None, "target", _reach, REACHED),
        Task(
            "push",
            "push the red cube onto the blue disc",
            200,
            "cube",
            "zone",
            _push,
            PUSHED,
            CUBE_HALF,
            undone_by="push-back",
        ),
        Task(
            "push-back", "push the red cube off the blue disc", 200, "cube", "zone", _push_back, RETURNED, place=MIDDLE
        ),
        Task(
            "pick-and-place",
            "put the red cube on the blue block",
            300,
            "cube",
            "shelf",
            _pick_and_place,
            PLACED,
            SHELF_TOP / 2 + CUBE_HALF,
        ),
    )
}


def find_task(name: str) -> Task:
    """A task by its name. UserError if there is none."""
    if name.replace("_", "-") not in TASKS:
        raise unknown_name("SO-101 task", name, TASKS)
    return TASKS[name.replace("_", "-")]
