"""The SO-101 twin as the plant behind an emulated servo bus."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.rendering import CameraRenderer, Profile, camera_names
from robo_reward.envs.so101_arm import REST, So101Arm, load_model
from robo_reward.envs.so101_expert import Expert
from robo_reward.envs.so101_tasks import TASKS, find_task
from robo_reward.errors import UserError
from robo_reward.joint_goals import Drive, Joints


class So101Plant:
    """Physics for real_robot's emulated arm, with the objects of a task on the table. Starts at ``start``, folded.

    Pictures are made from a copy of the state, by whichever thread asks first; that one must ask always.
    """

    def __init__(self, task: str = "reach", start: tuple[float, ...] = REST, profile: Profile = "fast") -> None:
        self._first = self._task = find_task(task)
        self._start, self._returns = tuple(start), False
        self._profile: Profile = profile
        self._model = load_model()
        import mujoco  # only now is the renderer chosen

        self._data = mujoco.MjData(self._model)
        self.arm = So101Arm(self._model, self._data)
        self.joints, self.views = self.arm.joints, camera_names(self._model)
        self._expert = Expert(self._task, self.arm)
        self._lock = threading.Lock()
        self._shown = mujoco.MjData(self._model)
        self._renderers: dict[tuple[int, int], CameraRenderer] = {}
        self._owed = 0.0
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Draws where the task's objects are."""
        import mujoco

        with self._lock:
            mujoco.mj_resetData(self._model, self._data)
            self.arm.place(self._start)
            self._task.begin(self._model, self._data, np.random.default_rng(seed))
            mujoco.mj_forward(self._model, self._data)

    def rearrange(self, seed: int) -> None:
        """Draws anew where the task's objects are; the arm stays where it is."""
        import mujoco

        with self._lock:
            first = int(self._model.joint("cube").dofadr[0])
            self._data.qvel[first : first + 6] = 0.0
            self._place(np.random.default_rng(seed))
            mujoco.mj_forward(self._model, self._data)

    def _place(self, rng: np.random.Generator) -> None:
        """The task's things; where it takes turns with the one that undoes it, so that either can be done."""
        if not self._returns or self._first.undone_by is None:
            self._task.begin(self._model, self._data, rng)
            return
        back = find_task(self._first.undone_by)
        back.begin(self._model, self._data, rng)
        if self._task is self._first:
            back.finish(self._model, self._data)

    def turn(self, back: bool) -> None:
        """From now on the task is the one that undoes the first, or the first again. UserError: none undoes it."""
        undone_by = self._first.undone_by
        if back and undone_by is None:
            able = [task.name for task in TASKS.values() if task.undone_by is not None]
            raise UserError(f"no task undoes '{self._first.name}': practice without resets knows {', '.join(able)}")
        with self._lock:
            self._returns = True
            self._task = find_task(undone_by) if back and undone_by is not None else self._first
            self._expert = Expert(self._task, self.arm)

    def advance(self, seconds: float, drive: Drive) -> None:
        """Whole simulator steps; what is left is owed to the next call."""
        self._owed += seconds
        step = float(self._model.opt.timestep)
        steps = int(self._owed / step)
        self._owed -= steps * step
        with self._lock:
            self.arm.advance(steps, drive)

    def angles(self) -> Joints:
        """(6,) radians."""
        return self.arm.angles()

    def speeds(self) -> Joints:
        """(6,) rad/s."""
        return self.arm.speeds()

    def loads(self) -> Joints:
        """(6,) shares of the strongest torque."""
        return self.arm.loads()

    def success(self) -> bool:
        """Whether the task is done now."""
        with self._lock:
            return self._task.success(self._model, self._data)

    def left(self) -> float:
        """Metres that what has to move is from where it belongs, and the hand from it."""
        with self._lock:
            moved = self._task.moved(self._data)
            return float(
                np.linalg.norm(moved - self._task.aim(self._data)) + np.linalg.norm(self.arm.fingertips - moved)
            )

    def expert_goal(self, last: Joints, fresh: bool) -> Joints:
        """What the scripted expert asks for after the goal ``last`` (6,), LeRobot's units; ``fresh``: it begins now."""
        with self._lock:
            if fresh:
                self._expert.begin()
            return self._expert.goal(self._data, last)

    def picture(self, view: str, height: int, width: int) -> NDArray[np.uint8]:
        """(height, width, 3) uint8 of the present state."""
        import mujoco

        with self._lock:
            places = self._places()
        self._shown.qpos[:], self._shown.mocap_pos[:] = places
        mujoco.mj_forward(self._model, self._shown)
        if (height, width) not in self._renderers:
            self._renderers[height, width] = CameraRenderer(self._model, self._shown, height, width, self._profile)
        return self._renderers[height, width].render(view)

    def close(self) -> None:
        """Frees the GL contexts."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def _places(self) -> tuple[Any, Any]:
        return self._data.qpos.copy(), self._data.mocap_pos.copy()
