"""N copies of a task behind the World contract: lazy pictures, sealed success, one process or many."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

from robo_reward.contracts import Flags, Floats, Frames, Observation, Oracle, Transition
from robo_reward.envs.rendering import Profile
from robo_reward.envs.sim_env import SimEnv
from robo_reward.envs.world_worker import RENDERED, WORLD_SEED, WorldWorker
from robo_reward.errors import NoOracle, UserError, no_expert, unknown_name
from robo_reward.sealed_log import Outcome, SealedLog
from robo_reward.views import LazyViews, StaleView

Workers = Literal["in_process", "subprocess"]
EnvFactory = Callable[[], SimEnv]


@dataclass(frozen=True, slots=True)
class _SoFar:
    """What an unfinished episode amounts to, for the sealed log only."""

    success: bool | None = None
    env_return: float = 0.0
    length: int = 0


class VectorWorld:
    """The World contract over Stable-Baselines3's vector environments.

    ``factories`` make one environment each and must survive a process border if ``workers`` is "subprocess".
    ``oracle`` unmasks ``env_reward``: "reward" the task's dense reward, "success" 1.0 in a successful step;
    with "none" it is NaN.
    World i's episodes follow from (seed, i, episode number) alone, so where it runs makes no difference.
    ``bodies``: the model's named ones that can move, which ``apply_force`` can push.
    """

    def __init__(
        self, factories: Sequence[EnvFactory], workers: Workers = "in_process", oracle: Oracle = "none"
    ) -> None:
        if not factories:
            raise UserError("num_worlds must be 1 or more, got 0")
        if workers not in ("in_process", "subprocess"):
            raise unknown_name("kind of workers", workers, ("in_process", "subprocess"))
        if oracle not in ("none", "reward", "success"):
            raise unknown_name("oracle", oracle, ("none", "reward", "success"))
        # One is always made here first: a wrong name is then a clear error, not a dead subprocess.
        probe = factories[0]()
        _check_oracle(probe, oracle)
        self._describe(probe, len(factories))
        self.oracle: Oracle = oracle
        self.sealed = SealedLog()
        self._vec = _vectorize(probe, factories, workers)
        self._so_far = [_SoFar()] * self.num_worlds
        self._kept: tuple[str, ...] = ()
        self._tick = 0
        self._rows: dict[tuple[str, int], Frames] = {}
        self._rendered = np.zeros((self.num_worlds, 2))
        self._observation: Observation | None = None
        self.frames_rendered, self.render_seconds, self.nan_resets = 0, 0.0, 0
        self.broken: Flags = np.zeros(self.num_worlds, np.bool_)

    def reset(self, seed: int) -> Observation:
        """Starts an episode in every world; unfinished ones are dropped and leave no outcome."""
        seeds = [int(np.random.SeedSequence((seed, i)).generate_state(1)[0]) for i in range(self.num_worlds)]
        self._vec.set_options([{WORLD_SEED: s} for s in seeds])
        states = self._vec.reset()
        self._so_far = [_SoFar()] * self.num_worlds
        return self._moved_on(states)

    def step(self, action: Floats) -> Transition:
        """Applies (N, A) actions; ended episodes are logged and their worlds reset."""
        before = self.observe()
        action = np.asarray(action, np.float32)
        if action.shape != (self.num_worlds, *self.action_space.shape):
            raise ValueError(f"actions must be {(self.num_worlds, *self.action_space.shape)}, got {action.shape}")
        if not np.isfinite(action).all():
            raise ValueError("actions must be finite; the policy has diverged")
        try:
            states, rewards, done, infos = self._vec.step(action)
        except (EOFError, ConnectionError) as error:
            raise UserError(
                f"a process that simulates '{self.name}' died; its own message is above, or run with "
                "env.workers=in_process to see it"
            ) from error
        self._log(rewards, done, infos)
        now = self._moved_on(states)
        timeout = np.array([bool(i["TimeLimit.truncated"]) for i in infos])
        env_reward = self._unmasked(rewards, infos)
        after = self._after(now, done, infos)
        return Transition(before, action, after, env_reward, done & ~timeout, done & timeout)

    def end(self, where: Flags) -> Observation:
        """Ends the episodes of the worlds where ``where`` (N,) is True: their verdicts are sealed, the next ones begin.

        Frames that were not read before can no longer be read.
        """
        states = self.observe().state.copy()
        for i in np.flatnonzero(where):
            told = self._so_far[i]
            self.sealed.write(Outcome(told.success, told.env_return, told.length))
            self._so_far[i] = _SoFar()
            states[i] = self._vec.env_method("start_next", indices=[int(i)])[0]
        return self._moved_on(states)

    def observe(self) -> Observation:
        """What the worlds show now."""
        if self._observation is None:
            raise ValueError("reset(seed) must be called before the world can be observed")
        return self._observation

    def rest_at_end(self) -> None:
        """``reset`` will follow the episodes that have just begun: their ends need not begin others."""
        self._vec.env_method("rest_at_end")

    def apply_force(self, force: NDArray[Any]) -> None:
        """Forces (N, B, 6) on ``bodies``, for the next ``step`` only: N and N m, world axes, at the centres of mass."""
        check_force(force, (self.num_worlds, len(self.bodies), 6))
        for i in np.flatnonzero(force.any(axis=(1, 2))):
            self._vec.env_method("push", force[i], indices=[int(i)])

    def keep_final(self, views: Sequence[str]) -> None:
        """Names the views whose last frame of an episode is rendered before the world resets itself."""
        for name in views:
            if name not in self.view_names:
                raise unknown_name("view", name, self.view_names)
        self._kept = tuple(views)
        self._vec.env_method("keep_final", self._kept)

    def expert_action(self) -> Floats:
        """What the scripted expert would do now, (N, A). UserError where the task has none."""
        if not self.has_expert:
            raise no_expert(self.name)
        return np.stack(self._vec.env_method("expert_action"))

    def annotated_success(self) -> Flags:
        """(N,) success in the last step; False after a reset. UserError where the task has no test."""
        found = self._vec.env_method("success_now")
        if any(s is None for s in found):
            raise UserError(f"'{self.name}' has no success test; give one with env.success=module:function")
        return np.array(found, dtype=np.bool_)

    def picture(
        self, index: int, view: str, height: int = 240, width: int = 320, profile: Profile = "pretty"
    ) -> Frames:
        """(H, W, 3) uint8 of one world now, of any size: for videos and reports."""
        return self._render(view, index, profile, (height, width))

    def simulator(self, index: int) -> tuple[Any, Any]:
        """MuJoCo's live (model, data) of one world, for its viewer. UserError where another process holds it."""
        if not isinstance(self._vec, DummyVecEnv):
            raise UserError("the simulator runs in another process: use env.workers=in_process")
        env: SimEnv = self._vec.envs[index].unwrapped  # type: ignore[assignment]
        return env.model, env.data

    def snapshot(self) -> list[Any]:
        """N snapshots, one per world."""
        return list(zip(self._vec.env_method("snapshot"), self._so_far, strict=True))

    def restore(self, snapshot: list[Any]) -> Observation:
        """Returns to N snapshots of this task."""
        states = [self._vec.env_method("restore", s, indices=[i])[0] for i, (s, _) in enumerate(snapshot)]
        self._so_far = [so_far for _, so_far in snapshot]
        return self._moved_on(np.stack(states))

    def close(self) -> None:
        """Ends the worker processes and frees the GL contexts."""
        self._vec.close()

    def _describe(self, probe: SimEnv, num_worlds: int) -> None:
        self.num_worlds = num_worlds
        self.view_names = probe.view_names
        self.action_space = probe.action_space
        assert probe.observation_space.shape is not None
        self.state_size = probe.observation_space.shape[0]
        self.state_names = probe.state_names
        self.horizon = probe.clock.decisions
        self.action_repeat = probe.clock.action_repeat
        self.fps = probe.fps
        self.name = probe.name
        self.bodies = probe.bodies
        self.landmarks = probe.landmarks
        self.has_success_test = probe.has_success_test
        self.has_expert = type(probe).expert_action is not SimEnv.expert_action
        self._task = (probe.instruction,) * num_worlds

    def _moved_on(self, states: Any) -> Observation:
        """What was not read until now can no longer be read."""
        self._tick += 1
        self._rows = {}
        tick = self._tick
        views = LazyViews(self.view_names, self._render_all, lambda: self._tick == tick)
        self._observation = Observation(views, np.array(states, np.float32), self._task)
        return self._observation

    def _after(self, now: Observation, done: Flags, infos: Sequence[dict[str, Any]]) -> Observation:
        """The observation that a transition ends with: last frames and states where an episode ended."""
        if not done.any():
            return now
        state = now.state.copy()
        for i in np.flatnonzero(done):
            state[i] = infos[i]["terminal_observation"]
        finals = {int(i): infos[i]["final_views"] for i in np.flatnonzero(done)}
        tick = self._tick

        def render(view: str) -> Frames:
            if view not in self._kept:
                raise StaleView(view, f"the world reset itself: call keep_final(['{view}']) before the run")
            rows = [finals[i][view] if i in finals else self._row(view, i) for i in range(self.num_worlds)]
            return np.stack(rows)

        return replace(now, views=LazyViews(self.view_names, render, lambda: self._tick == tick), state=state)

    def _render_all(self, view: str) -> Frames:
        return np.stack([self._row(view, i) for i in range(self.num_worlds)])

    def _row(self, view: str, index: int) -> Frames:
        """One world's frame of this moment, rendered once however many observations show it."""
        if (view, index) not in self._rows:
            self._rows[view, index] = self._render(view, index, None, None)
        return self._rows[view, index]

    def _render(self, view: str, index: int, profile: Profile | None, size: tuple[int, int] | None) -> Frames:
        frame, rendered = self._vec.env_method("picture_now", view, profile, size, indices=[index])[0]
        self._count(index, rendered)
        result: Frames = frame
        return result

    def _count(self, index: int, rendered: tuple[int, float]) -> None:
        self._rendered[index] = rendered
        self.frames_rendered = int(self._rendered[:, 0].sum())
        self.render_seconds = float(self._rendered[:, 1].sum())

    def _unmasked(self, rewards: Any, infos: Sequence[dict[str, Any]]) -> Floats:
        if self.oracle == "reward":
            return np.array(rewards, np.float32)
        if self.oracle == "success":
            return np.array([bool(i["success"]) for i in infos], np.float32)
        return np.full(self.num_worlds, np.nan, np.float32)

    def _log(self, rewards: Any, done: Flags, infos: Sequence[dict[str, Any]]) -> None:
        """Adds the step to each episode's outcome; finished ones are sealed, in the worlds' order."""
        for i, info in enumerate(infos):
            old, found = self._so_far[i], info["success"]
            success = old.success if found is None else bool(old.success or found)
            new = _SoFar(success, old.env_return + float(np.float32(rewards[i])), old.length + 1)
            if done[i]:
                self.sealed.write(Outcome(new.success, new.env_return, new.length))
                new = _SoFar()
            self._so_far[i] = new
            self._count(i, info[RENDERED])
        self.broken = np.array([info["unstable"] for info in infos], np.bool_)
        self.nan_resets += int(self.broken.sum())


def check_force(force: NDArray[Any], shape: tuple[int, int, int]) -> None:
    """ValueError for forces of another shape, or that are not finite."""
    if force.shape != shape:
        raise ValueError(f"forces must be {shape}, got {force.shape}")
    if not np.isfinite(force).all():
        raise ValueError("forces must be finite; the disturber has diverged")


def _check_oracle(probe: SimEnv, oracle: Oracle) -> None:
    """Nobody is trained on a reward that is always zero because the task has none."""
    if oracle == "success" and not probe.has_success_test:
        raise NoOracle(f"'{probe.name}' has no success test to learn from: give one with env.success=module:function")
    if oracle == "reward" and not probe.has_reward:
        raise NoOracle(f"'{probe.name}' has no reward to learn from: give one with env.reward=module:function")


def _vectorize(probe: SimEnv, factories: Sequence[EnvFactory], workers: Workers) -> VecEnv:
    if workers == "in_process":
        makers: list[Callable[[], WorldWorker]] = [lambda: WorldWorker(probe)]
        return DummyVecEnv([*makers, *(_Maker(f) for f in factories[1:])])
    probe.close()
    # Each worker imports torch through SB3; the fork server does it once for all.
    if "forkserver" in multiprocessing.get_all_start_methods():
        multiprocessing.get_context("forkserver").set_forkserver_preload([__name__])
    return SubprocVecEnv([_Maker(f) for f in factories])


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes a worker; a class, not a lambda, because it crosses a process border."""

    factory: EnvFactory

    def __call__(self) -> WorldWorker:
        return WorldWorker(self.factory())
