"""Scripted experts for the SO-101's tasks: a path for the fingertips, turned into joint goals."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.so101_arm import GRIPPER, MARGIN, NAMES, So101Arm
from robo_reward.envs.so101_tasks import CUBE_HALF, SHELF_TOP, Task
from robo_reward.joint_goals import Joints

Place = NDArray[np.float64]
STRIDE = 0.006
"""Metres that the fingertips' goal moves in a decision."""
OPEN, SHUT, GRIP = 32.0, 2.0, 8.0
"""Goals of the gripper, 0 to 100; the last presses on a cube."""
OVER = 0.07
"""Metres over the table at which the hand travels."""
SHUT_ASIDE = 0.011
"""Metres by which shut jaws stand aside of the point between open ones, towards the fixed jaw."""
NEAR = 0.006
"""Metres at which a waypoint counts as reached."""
TURN, DAMPING, SWEEPS = 0.2, 5e-3, 12
"""How fast the hand turns downwards, damping of the inverse (m/rad), iterations."""
ASIDE = 0.015
"""Metres, standard deviation, by which a scene's hand lies off the expert's way."""
LOWEST = 0.012
"""Metres over the table that fingertips keep."""


class Reacher:
    """Joint goals for fingertip positions, the hand pointing downwards as far as the arm can (damped least squares)."""

    def __init__(self, arm: So101Arm, margin: float) -> None:
        import mujoco

        self._low, self._high = (bound[: GRIPPER - 1] for bound in arm.within(margin))
        self._model, self._data = arm.model, mujoco.MjData(arm.model)
        self._site = arm.model.site("tcp").id
        self._dofs = [int(arm.model.joint(name).dofadr[0]) for name in NAMES[: GRIPPER - 1]]
        self._ghost = So101Arm(arm.model, self._data)

    def fingertips(self, units: Joints) -> Place:
        """(3,) metres: where the fingertips are at joints in LeRobot's units."""
        self._put(units)
        return self._ghost.fingertips

    def solve(self, place: Place, guess: Joints) -> Joints:
        """(6,) LeRobot's units near ``guess``, whose gripper and wrist roll are kept."""
        units = guess.copy()
        for _ in range(SWEEPS):
            self._put(units)
            free = np.ones(GRIPPER - 1, bool)
            for _again in range(2):  # joints at their ends leave the rest to the others
                step = np.clip(np.degrees(self._step(place, free)), -10, 10)
                ahead = units[: GRIPPER - 1] + step
                free &= (ahead >= self._low) & (ahead <= self._high)
            units[: GRIPPER - 1] = np.clip(ahead, self._low, self._high)
        return units

    def _put(self, units: Joints) -> None:
        import mujoco

        self._ghost.place(units)
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)

    def _step(self, place: Place, free: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(4,) radians by the ``free`` joints: towards the place; what is left over turns the hand downwards."""
        import mujoco

        moving, turning = np.zeros((3, self._model.nv)), np.zeros((3, self._model.nv))
        mujoco.mj_jacSite(self._model, self._data, moving, turning, self._site)
        moving, turning = moving[:, self._dofs] * free, turning[:, self._dofs] * free
        inverse = moving.T @ np.linalg.inv(moving @ moving.T + DAMPING**2 * np.eye(3))
        forwards = self._data.site_xmat[self._site].reshape(3, 3)[:, 0]
        downwards = TURN * turning.T @ np.cross(forwards, (0.0, 0.0, -1.0))
        towards = inverse @ (place - self._data.site_xpos[self._site])
        step: NDArray[np.float64] = towards + downwards - inverse @ (moving @ downwards)
        return step


class Expert:
    """Goes through the waypoints of a task; ``leg`` is how many are behind it."""

    def __init__(self, task: Task, arm: So101Arm, margin: float = MARGIN) -> None:
        self._task, self._arm, self._reacher = task, arm, Reacher(arm, margin)
        self.leg, self.waited = 0, 0

    def begin(self) -> None:
        """A new episode."""
        self.leg, self.waited = 0, 0

    def somewhere(self, data: Any, start: Joints, rng: np.random.Generator) -> Joints:
        """(6,) LeRobot's units: a pose somewhere beside the way that begins at ``start``; the episode begins anew."""
        self.begin()
        path = self._path(data)
        leg = int(rng.integers(len(path)))
        before = self._reacher.fingertips(start) if leg == 0 else path[leg - 1][0]
        place = before + rng.uniform() * (path[leg][0] - before) + rng.normal(0.0, ASIDE, 3)
        place[2] = max(place[2], LOWEST)
        units = self._reacher.solve(place, self._reacher.solve(place, start))
        units[GRIPPER] = path[leg][1]
        return units

    def goal(self, data: Any, last: Joints) -> Joints:
        """The next joint goal (6,) in LeRobot's units; ``last``: the goal before."""
        path = self._path(data)
        place, gripper = path[min(self.leg, len(path) - 1)]
        at = self._reacher.fingertips(last)
        way = place - at
        length = float(np.linalg.norm(way))
        units = self._reacher.solve(at + way * min(1.0, STRIDE / max(length, 1e-9)), last)
        units[GRIPPER] = gripper
        self._proceed(data, place, abs(last[GRIPPER] - gripper) > 1)
        return units

    def _proceed(self, data: Any, place: Place, jaws_moving: bool) -> None:
        """The next leg begins when the hand has been there for a moment and the jaws have moved."""
        if np.linalg.norm(self._arm.fingertips - place) < NEAR and not jaws_moving:
            self.waited += 1
        if self.waited > 4:
            self.leg, self.waited = self.leg + 1, 0

    def _path(self, data: Any) -> list[tuple[Place, float]]:
        """Where the fingertips go and how the gripper is, in order; renewed with what is seen until it is touched."""
        goal = self._task.aim(data)
        if self._task.thing is None:
            return [(goal, SHUT)]
        if self.leg == 0:
            self._thing = self._task.moved(data)
        return self._pushing(goal) if self._task.goal == "zone" else self._placing(goal)

    def _pushing(self, goal: Place) -> list[tuple[Place, float]]:
        way = (goal - self._thing)[:2]
        ahead = np.array([*(way / np.linalg.norm(way)), 0.0])
        behind, touch = self._thing - 0.05 * ahead, 0.024 * ahead
        low = _up(0.016 - CUBE_HALF) + SHUT_ASIDE * _tangent(goal)
        return [
            (behind + _up(OVER - CUBE_HALF), SHUT),
            (behind + low, SHUT),
            (goal - touch + low, SHUT),
        ]

    def _placing(self, goal: Place) -> list[tuple[Place, float]]:
        thing, up = self._thing, _up(OVER)
        grip = thing + _up(0.004)
        drop = goal + _up(0.006)
        return [
            (thing + up, OPEN),
            (grip, OPEN),
            (grip, GRIP),
            (thing + up, GRIP),
            (goal + _up(OVER - SHELF_TOP), GRIP),
            (drop, GRIP),
            (drop, OPEN),
            (goal + up, OPEN),
        ]

    def state(self) -> dict[str, Any]:
        """What it remembers, copied."""
        return {"leg": self.leg, "waited": self.waited, "thing": getattr(self, "_thing", np.zeros(3)).copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        self.leg, self.waited, self._thing = state["leg"], state["waited"], state["thing"].copy()


def _tangent(place: Place) -> Place:
    """(3,) unit vector to the left, as seen from the arm that looks at a place."""
    r = float(np.hypot(place[0], place[1]))
    return np.array([-place[1] / r, place[0] / r, 0.0])


def _up(metres: float) -> Place:
    return np.array([0.0, 0.0, metres])
