"""A user's own MuJoCo model as a task: cameras from yaml, success and reward from functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from robo_reward.contracts import Oracle
from robo_reward.envs.rendering import Profile, camera_names, choose_renderer, extra_cameras
from robo_reward.envs.sim_env import SimEnv
from robo_reward.envs.task_settings import Camerawork, Clock, SubStep, Vector
from robo_reward.envs.user_function import load_reward, load_success
from robo_reward.envs.vector_world import VectorWorld, Workers
from robo_reward.errors import UserError, unknown_name

if TYPE_CHECKING:
    import mujoco


class MjcfEnv(SimEnv):
    """State: qpos, qvel, then the named sensors. Actions in [-1, 1] span each actuator's ctrlrange.

    An actuator without a range takes the action as it is. ``success(model, data) -> bool`` and
    ``reward(model, data) -> float`` are called after every simulator step of 1/``control_hz`` seconds.
    Start: the model's pose or a ``keyframe``, each joint moved by up to ``reset_noise`` (radians, metres).
    """

    def __init__(
        self,
        xml: Path,
        camerawork: Camerawork,
        clock: Clock,
        instruction: str,
        success: str | None = None,
        reward: str | None = None,
        keyframe: str | None = None,
        reset_noise: float = 0.0,
        control_hz: float = 20.0,
    ) -> None:
        model = _load(xml)
        self._stem, self._reset_noise = xml.stem, reset_noise
        self._user_success = load_success(success) if success else None
        self._user_reward = load_reward(reward) if reward else None
        self.has_success_test = self._user_success is not None
        self.has_reward = self._user_reward is not None
        self._substeps = max(1, round(1 / (control_hz * model.opt.timestep)))
        self._keyframe = _keyframe(model, keyframe)
        self._low, self._high = _ranges(model)
        sensors = [model.sensor(i) for i in range(model.nsensor) if model.sensor(i).name]
        self._sensors = np.concatenate([_span(s) for s in sensors]) if sensors else np.empty(0, int)
        self.state_names = _state_names(model, sensors)
        self.observation_space = spaces.Box(-np.inf, np.inf, (len(self.state_names),), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (model.nu,), np.float32)
        camerawork = camerawork.or_first(camera_names(model))
        fps = 1 / (self._substeps * model.opt.timestep)
        super().__init__(model, _data(model), camerawork, clock, instruction, fps)

    @property
    def name(self) -> str:
        return f"mjcf/{self._stem}"

    def _begin(self, seed: int) -> Vector:
        import mujoco

        if self._keyframe is None:
            mujoco.mj_resetData(self.model, self.data)
        else:
            mujoco.mj_resetDataKeyframe(self.model, self.data, self._keyframe)
        noise = np.random.default_rng(seed).uniform(-self._reset_noise, self._reset_noise, self.model.nv)
        mujoco.mj_integratePos(self.model, self.data.qpos, noise, 1.0)
        self._keep_joint_limits()
        mujoco.mj_forward(self.model, self.data)
        return self._state()

    def _advance(self, action: Vector) -> SubStep:
        import mujoco

        self.data.ctrl[:] = (self._low + self._high) / 2 + action.astype(np.float64) * (self._high - self._low) / 2
        mujoco.mj_step(self.model, self.data, nstep=self._substeps)
        # A step leaves places and sensors one step behind the joints; the picture must show this state.
        mujoco.mj_forward(self.model, self.data)
        reward = 0.0 if self._user_reward is None else self._user_reward(self.model, self.data)
        success = None if self._user_success is None else self._user_success(self.model, self.data)
        return SubStep(self._state(), reward, False, success)

    def _state(self) -> Vector:
        parts = (self.data.qpos, self.data.qvel, self.data.sensordata[self._sensors])
        state: Vector = np.concatenate(parts).astype(np.float32)
        return state

    def _keep_joint_limits(self) -> None:
        for joint in np.flatnonzero(self.model.jnt_limited):
            address, kind = self.model.jnt_qposadr[joint], self.model.jnt_type[joint]
            if kind in (2, 3):  # slide, hinge
                self.data.qpos[address] = np.clip(self.data.qpos[address], *self.model.jnt_range[joint])

    def _python_state(self) -> Any:
        return None

    def _set_python_state(self, state: Any) -> None:
        """All of this task's state is MuJoCo's."""


def _load(xml: Path) -> mujoco.MjModel:
    choose_renderer()
    import mujoco

    if not xml.is_file():
        raise UserError(f"the model '{xml}' does not exist; give the path of an MJCF or URDF file with env.xml=PATH")
    try:
        model = mujoco.MjModel.from_xml_path(str(xml))
    except ValueError as error:
        raise UserError(f"MuJoCo cannot load '{xml}': {error}") from error
    if model.nu == 0:
        raise UserError(f"the model '{xml}' has no actuators, so nothing can act in it; add an <actuator> section")
    return model


def _data(model: mujoco.MjModel) -> mujoco.MjData:
    import mujoco

    return mujoco.MjData(model)


def _ranges(model: mujoco.MjModel) -> tuple[Any, Any]:
    limited = model.actuator_ctrllimited.astype(bool)
    low = np.where(limited, model.actuator_ctrlrange[:, 0], -1.0)
    return low, np.where(limited, model.actuator_ctrlrange[:, 1], 1.0)


def _keyframe(model: mujoco.MjModel, name: str | None) -> int | None:
    if name is None:
        return None
    names = [model.key(i).name for i in range(model.nkey)]
    if not any(names):
        raise UserError(
            f"env.keyframe={name}: the model has no named keyframe; leave env.keyframe out, or add one to it"
        )
    if name not in names:
        raise unknown_name("keyframe", name, filter(None, names))
    return names.index(name)


def _span(sensor: Any) -> Any:
    return np.arange(sensor.adr[0], sensor.adr[0] + sensor.dim[0])


def _state_names(model: mujoco.MjModel, sensors: Sequence[Any]) -> tuple[str, ...]:
    names = [f"qpos_{i}" for i in range(model.nq)] + [f"qvel_{i}" for i in range(model.nv)]
    for sensor in sensors:
        names += [f"{sensor.name}_{i}" for i in range(sensor.dim[0])]
    return tuple(names)


def make_world(
    xml: str,
    num_worlds: int = 1,
    workers: Workers = "in_process",
    views: Sequence[str] | None = None,
    cameras: Mapping[str, Mapping[str, Any]] | None = None,
    height: int = 64,
    width: int = 64,
    horizon: int = 200,
    action_repeat: int = 1,
    profile: Profile = "fast",
    oracle: Oracle = "none",
    instruction: str | None = None,
    success: str | None = None,
    reward: str | None = None,
    keyframe: str | None = None,
    reset_noise: float = 0.0,
    control_hz: float = 20.0,
) -> VectorWorld:
    """N copies of a user's model; ``horizon`` counts steps of 1/``control_hz`` seconds."""
    if control_hz <= 0 or reset_noise < 0:
        raise UserError(f"env.control_hz={control_hz} must be above 0 and env.reset_noise={reset_noise} 0 or more")
    extra = extra_cameras(cameras)
    path = Path(xml).expanduser().resolve()
    env = partial(
        MjcfEnv,
        path,
        Camerawork(tuple(views or ()), height, width, profile, extra),
        Clock(horizon, action_repeat),
        instruction or f"do the task {path.stem}",
        success,
        reward,
        keyframe,
        reset_noise,
        control_hz,
    )
    return VectorWorld([env] * num_worlds, workers, oracle)
