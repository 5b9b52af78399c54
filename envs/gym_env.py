"""Any Gymnasium task that runs in MuJoCo, by its id, with cameras added where the model has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from robo_reward.contracts import Oracle
from robo_reward.envs.live_state import plain_attributes, set_attributes
from robo_reward.envs.rendering import Profile, camera_names, choose_renderer, extra_cameras
from robo_reward.envs.sim_env import SimEnv
from robo_reward.envs.task_settings import Camerawork, Clock, SubStep, Vector
from robo_reward.envs.user_function import load_success
from robo_reward.envs.vector_world import VectorWorld, Workers
from robo_reward.errors import UserError, unknown_name


class GymEnv(SimEnv):
    """A registered task. Bounded actions are scaled to [-1, 1]; the state is its flattened observation.

    Success: ``success`` (module:function, called with model and data), else the task's own ``info["success"]`` or
    ``info["is_success"]``, else None. Terminations of the task itself (a fallen Ant) stay terminations.
    """

    def __init__(
        self,
        task_id: str,
        camerawork: Camerawork,
        clock: Clock,
        instruction: str | None = None,
        success: str | None = None,
    ) -> None:
        self._task_id = task_id
        self._sim = _make(task_id)
        core: Any = self._sim.unwrapped
        self._space, self._actions = self._sim.observation_space, _box(self._sim.action_space, task_id)
        self._scaled = bool(self._actions.is_bounded())
        shape = self._actions.shape
        self.action_space = spaces.Box(-1.0, 1.0, shape, np.float32) if self._scaled else self._actions
        size = spaces.flatdim(self._space)
        self.state_names = tuple(f"observation_{i}" for i in range(size))
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self._user_success = load_success(success) if success else None
        self.has_success_test = self._user_success is not None or self._reports_success()
        camerawork = camerawork.or_first(camera_names(core.model))
        words = instruction or f"do the task {task_id}"
        super().__init__(core.model, core.data, camerawork, clock, words, 1 / core.dt)

    @property
    def name(self) -> str:
        return f"gym/{self._task_id}"

    def _begin(self, seed: int) -> Vector:
        observation, _ = self._sim.reset(seed=seed)
        return self._flat(observation)

    def _advance(self, action: Vector) -> SubStep:
        observation, reward, terminated, _, info = self._sim.step(self._unscaled(action))
        return SubStep(self._flat(observation), float(reward), bool(terminated), self._succeeded(info))

    def _succeeded(self, info: Mapping[str, Any]) -> bool | None:
        if self._user_success is not None:
            return self._user_success(self.model, self.data)
        found = info.get("success", info.get("is_success"))
        return None if found is None else bool(found)

    def _reports_success(self) -> bool:
        """Whether the task's ``info`` speaks of success, which only a step can tell."""
        self._sim.reset(seed=0)
        info = self._sim.step(np.clip(np.zeros_like(self._actions.low), self._actions.low, self._actions.high))[4]
        return "success" in info or "is_success" in info

    def _unscaled(self, action: Vector) -> Vector:
        if not self._scaled:
            return action
        low, high = self._actions.low, self._actions.high
        result: Vector = ((low + high) / 2 + action * (high - low) / 2).astype(np.float32)
        return result

    def _flat(self, observation: Any) -> Vector:
        flat: Vector = np.asarray(spaces.flatten(self._space, observation), np.float32)
        return flat

    def _python_state(self) -> Any:
        return [plain_attributes(layer) for layer in self._layers()]

    def _set_python_state(self, state: Any) -> None:
        for layer, saved in zip(self._layers(), state, strict=True):
            set_attributes(layer, saved)

    def _layers(self) -> list[Any]:
        """The task and the wrappers that it was registered with, outermost first."""
        layers: list[Any] = [self._sim]
        while isinstance(layers[-1], gymnasium.Wrapper):
            layers.append(layers[-1].env)
        return layers


def _make(task_id: str) -> gymnasium.Env[Any, Any]:
    choose_renderer()
    try:
        # -1: the time limit is ours, so that it can be chosen and counted in one place.
        sim = gymnasium.make(task_id, max_episode_steps=-1, disable_env_checker=True)
    except gymnasium.error.UnregisteredEnv as error:
        raise unknown_name("Gymnasium task", task_id, _mujoco_tasks()) from error
    except (gymnasium.error.Error, ImportError) as error:
        raise UserError(f"Gymnasium cannot make '{task_id}': {error}") from error
    if not all(hasattr(sim.unwrapped, part) for part in ("model", "data", "dt")):
        raise UserError(f"'{task_id}' does not run in MuJoCo; tasks that do: {', '.join(_mujoco_tasks())}")
    return sim


def _mujoco_tasks() -> list[str]:
    specs = gymnasium.registry.values()
    return [s.id for s in specs if ".mujoco" in str(s.entry_point) and s.version is not None and s.version >= 4]


def _box(space: gymnasium.Space[Any], task_id: str) -> spaces.Box:
    if not isinstance(space, spaces.Box):
        raise UserError(f"'{task_id}' has actions of the kind {space}; only Box actions can be learned here")
    return spaces.Box(space.low, space.high, dtype=np.float32)


def _horizon(task_id: str, horizon: int | None) -> int:
    """The given horizon, else the registered one."""
    if horizon is not None:
        return horizon
    try:
        registered = gymnasium.spec(task_id).max_episode_steps
    except gymnasium.error.Error as error:
        raise unknown_name("Gymnasium task", task_id, _mujoco_tasks()) from error
    if registered is None:
        raise UserError(f"'{task_id}' has no time limit of its own; give one with env.horizon=STEPS")
    return registered


def make_env(
    id: str,
    camerawork: Camerawork,
    clock: Clock,
    instruction: str | None = None,
    success: str | None = None,
) -> GymEnv:
    """One task as an environment with cameras."""
    return GymEnv(id, camerawork, clock, instruction, success)


def make_world(
    id: str,
    num_worlds: int = 1,
    workers: Workers = "in_process",
    views: Sequence[str] | None = None,
    cameras: Mapping[str, Mapping[str, Any]] | None = None,
    height: int = 64,
    width: int = 64,
    horizon: int | None = None,
    action_repeat: int = 1,
    profile: Profile = "fast",
    oracle: Oracle = "none",
    instruction: str | None = None,
    success: str | None = None,
) -> VectorWorld:
    """N copies of a Gymnasium task; without ``views`` its first camera, without ``horizon`` its own."""
    extra = extra_cameras(cameras)
    camerawork = Camerawork(tuple(views or ()), height, width, profile, extra)
    clock = Clock(_horizon(id, horizon), action_repeat)
    env = partial(make_env, id, camerawork, clock, instruction, success)
    return VectorWorld([env] * num_worlds, workers, oracle)
