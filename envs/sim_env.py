"""What every simulated task has in common: one Gymnasium environment with named cameras, lazily rendered."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from robo_reward.contracts import Landmarks
from robo_reward.envs.live_state import physics_of, set_physics
from robo_reward.envs.rendering import FREE_VIEW, CameraRenderer, Profile, camera_names
from robo_reward.envs.task_settings import Camerawork, Clock, SubStep, Vector
from robo_reward.errors import UserError, no_expert, unknown_name

if TYPE_CHECKING:
    import mujoco

NAN_LIMIT = 20
"""So many episodes in a row may blow up before the task is declared broken."""


class SimEnv(gymnasium.Env[Vector, Vector], ABC):
    """A task in MuJoCo: observation = state (S,) float32, views on demand, success only in ``info``.

    An episode ends at its horizon or where the task itself terminates, never because it succeeded, unless
    ``terminate_on_success`` (for oracle runs). ``info["success"]``: bool, reached in this step; None without
    a test.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012  (Gymnasium's own declaration)
    render_mode = "rgb_array"
    action_space: spaces.Box  # type: ignore[assignment]
    state_names: tuple[str, ...]
    landmarks: Landmarks | None = None
    """Where the state tells positions; None where it has no such meaning."""
    has_success_test = True
    """False where nobody can tell success; ``info["success"]`` is then None."""
    has_reward = True
    """False where the task's reward is always zero, since nobody gave one."""

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        camerawork: Camerawork,
        clock: Clock,
        instruction: str,
        simulator_fps: float,
        terminate_on_success: bool = False,
    ) -> None:
        self.model, self.data = model, data
        self.camerawork, self.clock, self.instruction = camerawork, clock, instruction
        self.fps = simulator_fps / clock.action_repeat
        self.metadata = {**type(self).metadata, "render_fps": max(1, round(self.fps))}
        self.terminate_on_success = terminate_on_success
        self._check_views()
        _hush_mujoco()
        self._renderers: dict[tuple[Profile, int, int], CameraRenderer] = {}
        self._kept_views: tuple[str, ...] = ()
        self._final: dict[str, NDArray[np.uint8]] = {}
        self._entropy: int | None = None
        self._episode = 0
        self._steps = 0
        self._success = self._no_success()
        self._last_state: Vector | None = None
        moves = (model.body_weldid != 0) & (model.body_mocapid < 0)
        self.bodies = tuple(model.body(i).name for i in np.flatnonzero(moves) if model.body(i).name)
        self._push: NDArray[np.float64] | None = None
        self._unstable_in_a_row = 0
        self.nan_resets = 0

    # What a task adds.
    @abstractmethod
    def _begin(self, seed: int) -> Vector:
        """Starts the episode that ``seed`` names and returns its first state (S,)."""

    @abstractmethod
    def _advance(self, action: Vector) -> SubStep:
        """One simulator step under ``action``, which lies within ``action_space``."""

    @abstractmethod
    def _python_state(self) -> Any:
        """What the simulator keeps outside MuJoCo's state, copied."""

    @abstractmethod
    def _set_python_state(self, state: Any) -> None: ...

    def expert_action(self) -> Vector:
        """What a scripted expert would do now, (A,) float32. UserError where the task has none."""
        raise no_expert(self.name)

    @property
    def name(self) -> str:
        """The task's short name."""
        return type(self).__name__

    # Gymnasium.
    @property
    def view_names(self) -> tuple[str, ...]:
        """The views this world was asked to show."""
        return self.camerawork.views

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Vector, dict[str, Any]]:
        """Starts an episode. Resets without a seed follow from the last one given: same seed, same run."""
        super().reset(seed=seed)
        if seed is not None or self._entropy is None:
            self._entropy = seed if seed is not None else int(self.np_random.integers(2**31))
            self._episode = 0
        episode_seed = np.random.SeedSequence((self._entropy, self._episode)).generate_state(1)[0]
        self._episode += 1
        self._steps, self._success = 0, self._no_success()
        state = self._begin(int(episode_seed) % 2**31)
        if not np.isfinite(state).all():
            raise UserError(f"'{self.name}' starts with a state that is not finite; check the model's start pose")
        self._last_state = state
        self._clear_warnings()
        return state, {"success": self._success}

    def step(self, action: Vector) -> tuple[Vector, float, bool, bool, dict[str, Any]]:
        """Repeats the action; rewards add up over the repeated steps, success counts in any of them."""
        bounded = np.clip(np.asarray(action, np.float32), self.action_space.low, self.action_space.high)
        reward, terminated, self._success = 0.0, False, self._no_success()
        self._start_push()
        for _ in range(self.clock.action_repeat):
            sub = self._advance(bounded)
            self._steps += 1
            reward += sub.reward
            terminated = sub.terminated
            if sub.success is not None:
                self._success = bool(self._success or sub.success)
            if terminated or self._steps >= self.clock.horizon:
                break
        self._end_push()
        state, unstable = self._stable(sub.state)
        if unstable:
            reward, terminated, self._success = 0.0, False, self._no_success()
        terminated = terminated or (self.terminate_on_success and bool(self._success))
        truncated = not terminated and (unstable or self._steps >= self.clock.horizon)
        if terminated or truncated:
            self._unstable_in_a_row = self._unstable_in_a_row + 1 if unstable else 0
            self._final = {name: self.render_view(name) for name in self._kept_views}
        return state, float(reward), terminated, truncated, {"success": self._success, "unstable": unstable}

    def rest(self) -> Vector:
        """In place of a reset that nobody would look at: the state (S,) in which the episode ended."""
        assert self._last_state is not None
        self._success = self._no_success()
        return self._last_state.copy()

    def push(self, wrench: NDArray[np.float64]) -> None:
        """Forces (B, 6) on ``bodies`` during the next step: N and N m, world axes, at the centres of mass."""
        self._push = wrench

    def render(self) -> NDArray[np.uint8]:
        """The first view, (H, W, 3) uint8."""
        return self.render_view(self.view_names[0] if self.view_names else FREE_VIEW)

    def close(self) -> None:
        """Frees the GL contexts."""
        for renderer in self._renderers.values():
            renderer.close()

    # Pictures.
    def render_view(
        self, name: str, profile: Profile | None = None, size: tuple[int, int] | None = None
    ) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 picture of the present state through a camera; ``size`` is (height, width)."""
        if name not in self.known_views():
            raise unknown_name("view", name, self.known_views())
        work = self.camerawork
        height, width = size or (work.height, work.width)
        key = (profile or work.profile, height, width)
        if key not in self._renderers:
            self._renderers[key] = CameraRenderer(self.model, self.data, height, width, key[0], work.cameras)
        self._before_render()
        return self._renderers[key].render(name)

    def known_views(self) -> tuple[str, ...]:
        """Every view that could be asked for."""
        return (*camera_names(self.model), *self.camerawork.cameras, FREE_VIEW)

    def keep_final(self, views: Sequence[str]) -> None:
        """Names the views to render at an episode's last step, before anybody resets the world."""
        for name in views:
            if name not in self.known_views():
                raise unknown_name("view", name, self.known_views())
        self._kept_views = tuple(views)

    @property
    def final_views(self) -> Mapping[str, NDArray[np.uint8]]:
        """view -> (H, W, 3) uint8: the kept last frames of the episode that just ended."""
        return self._final

    @property
    def frames_rendered(self) -> int:
        """Pictures made so far."""
        return sum(r.frames for r in self._renderers.values())

    @property
    def render_seconds(self) -> float:
        """Processor seconds spent on pictures so far."""
        return sum(r.seconds for r in self._renderers.values())

    # State.
    def success_now(self) -> bool | None:
        """Whether the last step succeeded; None where the task has no test."""
        return self._success

    def snapshot(self) -> dict[str, Any]:
        """Everything needed to continue from here, as arrays and plain values."""
        mine = (self._entropy, self._episode, self._steps, self._success, self._last_state)
        physics = physics_of(self.model, self.data)
        return {"physics": physics, "clock": mine, "python": self._python_state()}

    def restore(self, snapshot: Mapping[str, Any]) -> Vector:
        """Returns to a snapshot and to the state (S,) that was observed there."""
        self._set_python_state(snapshot["python"])
        set_physics(self.model, self.data, snapshot["physics"])
        self._entropy, self._episode, self._steps, self._success, self._last_state = snapshot["clock"]
        assert self._last_state is not None
        return self._last_state.copy()

    # Inside.
    def _start_push(self) -> None:
        for name, wrench in () if self._push is None else zip(self.bodies, self._push, strict=True):
            if wrench.any():
                self._body(name).xfrc_applied[:] = wrench

    def _body(self, name: str) -> Any:
        """A body that is pushed. UserError where the present task's scene is without it."""
        try:
            return self.data.body(name)
        except KeyError as error:
            raise UserError(
                f"'{self.name}': the scene of the present task has no body '{name}' that could be pushed: name bodies "
                "that all tasks have (hook.bodies=[...], the robot's), or choose one task"
            ) from error

    def _end_push(self) -> None:
        if self._push is not None:
            self.data.xfrc_applied[:] = 0.0
            self._push = None

    def _before_render(self) -> None:
        """A task may put markers in place here."""

    def _no_success(self) -> bool | None:
        return False if self.has_success_test else None

    def _check_views(self) -> None:
        for name in self.camerawork.views:
            if name not in self.known_views():
                raise unknown_name("view", name, self.known_views())
        for name, camera in self.camerawork.cameras.items():
            bodies = [self.model.body(i).name for i in range(self.model.nbody)]
            if camera.track is not None and camera.track not in bodies:
                raise unknown_name(f"body that camera '{name}' tracks", camera.track, bodies)

    def _stable(self, state: Vector) -> tuple[Vector, bool]:
        """A simulation that blew up ends its episode with the last state that could be trusted."""
        assert self._last_state is not None
        if np.isfinite(state).all() and not self._clear_warnings():
            self._last_state = state
            return state, False
        self._clear_warnings()
        self.nan_resets += 1
        if self._unstable_in_a_row + 1 >= NAN_LIMIT:
            raise UserError(
                f"the simulation of '{self.name}' became unstable in {NAN_LIMIT} episodes in a row "
                "(NaN or huge accelerations); use a smaller timestep or action range, or mend the model"
            )
        return self._last_state, True

    def _clear_warnings(self) -> bool:
        """True where MuJoCo found bad numbers since the last call (it then resets the physics silently)."""
        import mujoco

        kinds = (
            mujoco.mjtWarning.mjWARN_BADQPOS,
            mujoco.mjtWarning.mjWARN_BADQVEL,
            mujoco.mjtWarning.mjWARN_BADQACC,
        )
        bad = any(self.data.warning[int(k)].number > 0 for k in kinds)
        if bad:
            for kind in kinds:
                self.data.warning[int(kind)].number = 0
        return bad


def _hush_mujoco() -> None:
    """Sends MuJoCo's warnings to logging; by default it prints them and writes MUJOCO_LOG.TXT where one stands."""
    import mujoco

    mujoco.set_mju_user_warning(logging.getLogger(__name__).info)
