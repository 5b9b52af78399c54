"""The World contract over a batched simulation: vectorised autoreset, lazy pictures, sealed verdicts, forces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Flags, Floats, Frames, Landmarks, Observation, Oracle, Transition
from robo_reward.envs.locomotion.counted_draws import episode_keys, uniform
from robo_reward.envs.locomotion.episode_starts import EpisodeStarts
from robo_reward.envs.locomotion.state_camera import StateCamera
from robo_reward.envs.locomotion.task import Judged, LocomotionTask
from robo_reward.envs.rendering import Profile
from robo_reward.envs.sim_env import NAN_LIMIT
from robo_reward.errors import NoOracle, UserError, unknown_name
from robo_reward.sealed_log import Outcome, SealedLog
from robo_reward.views import LazyViews

STAGGERED = 7
"""The stream of random numbers that says when staggered episodes end; tasks draw from others."""


class BatchedWorld:
    """N worlds of one locomotion task; ``step`` costs one call into C and a fixed number of array operations.

    World i's episodes follow from (seed, i, episode number) alone. ``oracle``: "reward" unmasks the task's reward,
    "success" pays 1.0 at the end of a successful episode, "none" gives NaN. A simulation that blows up truncates its
    episode, which is no success, pays 0 and counts in ``nan_resets``; a world that does so in 20 episodes in a row ends
    the run.

    ``bodies`` and ``apply_force``: what an adversary may push. ``task_reward`` (N,): the last step's reward without
    regularisation; never above ``task_reward_bound``. ``broken`` (N,): whose simulation blew up in the last step.
    """

    landmarks: Landmarks | None = None
    has_expert = False
    action_repeat = 1

    def __init__(
        self,
        task: LocomotionTask,
        horizon: int,
        camera: StateCamera,
        bodies: str | Sequence[str],
        oracle: Oracle = "none",
    ) -> None:
        if horizon < 1:
            raise UserError(f"env.horizon={horizon} must be 1 or more decisions")
        if oracle not in ("none", "reward", "success"):
            raise unknown_name("oracle", oracle, ("none", "reward", "success"))
        if oracle == "success" and not task.has_success_test:
            raise NoOracle(f"'{task.name}' has no success test to learn from: use reward_model=env_dense")
        self.task, self.sim, self.camera = task, task.sim, camera
        self.has_success_test = task.has_success_test
        self.num_worlds, self.horizon, self.oracle = task.sim.num_worlds, horizon, oracle
        self.name, self.action_space, self.state_names = task.name, task.action_space, task.state_names
        self._low, self._high = (
            np.tile(b, (self.num_worlds, 1)) for b in (task.action_space.low, task.action_space.high)
        )
        self.state_size, self.fps = len(task.state_names), 1.0 / task.sim.dt
        self.view_names = camera.views
        self.task_reward_bound = task.task_reward_bound
        self.bodies = (bodies,) if isinstance(bodies, str) else tuple(bodies)
        self._body_ids = body_ids(task, self.bodies)
        self.sealed, self.nan_resets = SealedLog(), 0
        self.broken: Flags = np.zeros(self.num_worlds, np.bool_)
        self.task_reward: Floats = np.zeros(self.num_worlds, np.float32)
        self._words = (task.instruction,) * self.num_worlds
        self._tick = 0
        self._starts = EpisodeStarts(task, 0)
        self._memory: dict[str, NDArray[Any]] = {
            "episode": np.zeros(self.num_worlds, np.int64),
            "steps": np.zeros(self.num_worlds, np.int64),
            "skipped": np.zeros(self.num_worlds, np.int64),
            "paid": np.zeros(self.num_worlds),
            "unstable": np.zeros(self.num_worlds, np.int64),
        }
        self._observation: Observation | None = None

    @property
    def frames_rendered(self) -> int:
        """Pictures made so far."""
        return self.camera.frames

    @property
    def render_seconds(self) -> float:
        """Processor seconds spent on them."""
        return self.camera.seconds

    # --- the contract ------------------------------------------------------------------------------------------------

    @property
    def too_few_worlds(self) -> str | None:
        """What a training in so few worlds would leave out, and the way out; None where that is nothing."""
        variants = self.sim.variants
        if variants <= self.num_worlds:
            return None
        return (
            f"env.randomise.variants={variants}, but env.num_worlds={self.num_worlds}: each world keeps one variant, "
            f"and the first is the nominal robot, so that {variants - self.num_worlds} would never be trained on. Set "
            f"env.num_worlds={variants} or more, or env.randomise.variants={self.num_worlds}"
        )

    def reset(self, seed: int) -> Observation:
        """Starts an episode in every world; unfinished ones are dropped and leave no outcome."""
        self._starts = EpisodeStarts(self.task, seed)
        for held in self._memory.values():
            held[:] = 0
        self._begin(np.arange(self.num_worlds))
        return self._moved_on(self.task.observe())

    def step(self, action: Floats) -> Transition:
        """Applies (N, A) actions, clipped to the bounds; ended episodes are sealed and their worlds begin anew."""
        before = self.observe()
        action = self._checked(action)
        bounded = np.maximum(np.minimum(action, self._high), self._low).astype(np.float64)
        self.broken = broken = self.sim.step(self.task.control(bounded))
        failed = self.sim.failed
        judged = self._judged(bounded, broken, failed)
        memory = self._memory
        memory["steps"] += 1
        memory["paid"] += judged.reward
        done = judged.terminated | broken | (memory["steps"] + memory["skipped"] >= self.horizon)
        truncated = done ^ judged.terminated
        env_reward = self._unmasked(judged, done)
        state = self.task.observe()
        if failed:
            state = np.where(broken[:, None], before.state, state)
        ended = done.nonzero()[0]
        if not len(ended):
            after = self._moved_on(state)
            return Transition(before, action, after, env_reward, judged.terminated, truncated)
        memory["unstable"][ended[~broken[ended]] if failed else ended] = 0
        last = self.sim.state.copy()
        self._seal(ended)
        self._begin(ended)
        self._moved_on(self.task.observe())
        after = Observation(self._views(last), state, self._words)
        return Transition(before, action, after, env_reward, judged.terminated, truncated)

    def end(self, where: Flags) -> Observation:
        """Ends the episodes of worlds ``where`` (N,): their verdicts are sealed, the next ones begin."""
        now, ended = self.observe(), np.flatnonzero(where)
        if not len(ended):
            return now
        self._seal(ended)
        self._begin(ended)
        return self._moved_on(self.task.observe())

    def stagger(self) -> None:
        """Each world's present episode is truncated after a random share of the horizon; later ones are whole."""
        keys = episode_keys(self._starts.keys, self._memory["episode"])
        self._memory["skipped"][:] = np.floor(uniform(keys, 1, STAGGERED)[:, 0] * self.horizon)

    def observe(self) -> Observation:
        """What the worlds show now."""
        if self._observation is None:
            raise ValueError("reset(seed) must be called before the world can be observed")
        return self._observation

    def keep_final(self, views: Sequence[str]) -> None:
        """Nothing to do but to check the names: last frames are drawn from kept states."""
        for name in views:
            if name not in self.view_names:
                raise unknown_name("view", name, self.view_names)

    def apply_force(self, force: NDArray[Any]) -> None:
        """Forces (N, B, 6) on ``bodies``, for the next ``step`` only: N and N m, world axes, at the centres of mass."""
        wanted = (self.num_worlds, len(self.bodies), 6)
        if force.shape != wanted:
            raise ValueError(f"forces must be {wanted}, got {force.shape}")
        if not np.isfinite(force).all():
            raise ValueError("forces must be finite; the disturber has diverged")
        self.sim.set_force(self._body_ids, force)

    def headings(self) -> NDArray[np.float64]:
        """(N,) radians about the vertical from the world's axes to those that the states are written in."""
        return self.task.headings()

    def expert_action(self) -> Floats:
        """UserError: nobody wrote an expert."""
        raise UserError(f"'{self.name}' has no scripted expert; use learner=ppo reward_model=env_dense transform=none")

    def annotated_success(self) -> Flags:
        """(N,) whether the episodes so far are successes. UserError where the task has no test."""
        if not self.task.has_success_test:
            raise UserError(f"'{self.name}' has no success test")
        return self.task.success() & ~self.broken

    def snapshot(self) -> list[Any]:
        """N snapshots, one per world."""
        rows = self._rows()
        return [
            {"seed": self._starts.seed, **{k: v[i].copy() for k, v in rows.items()}} for i in range(self.num_worlds)
        ]

    def restore(self, snapshot: list[Any]) -> Observation:
        """Returns to N snapshots of this task."""
        self._starts = EpisodeStarts(self.task, snapshot[0]["seed"])
        self.broken = np.zeros(self.num_worlds, np.bool_)
        for name, held in self._rows().items():
            held[:] = np.stack([one[name] for one in snapshot])
        return self._moved_on(self._rows()["state"].copy())

    def picture(
        self, index: int, view: str, height: int = 240, width: int = 320, profile: Profile = "pretty"
    ) -> Frames:
        """(H, W, 3) uint8 of one world now, of any size: for videos and reports."""
        return self.camera.picture(self.sim, index, self.sim.state[index], view, (height, width), profile)

    def close(self) -> None:
        """Ends the threads and frees the GL contexts."""
        self.camera.close()
        self.sim.close()

    # --- inside ------------------------------------------------------------------------------------------------------

    def _rows(self) -> Mapping[str, NDArray[Any]]:
        """Everything that is known of each world, as live arrays (N, ...)."""
        parts: dict[str, NDArray[Any]] = {f"world_{k}": v for k, v in self._memory.items()}
        parts |= {f"task_{k}": v for k, v in self.task.memory.items()}
        return parts | {"physics": self.sim.state, "sensors": self.sim.sensors, "state": self.observe().state}

    def _begin(self, where: NDArray[np.int64]) -> None:
        memory = self._memory
        self._starts.begin(where, memory["episode"])
        memory["steps"][where] = memory["skipped"][where] = 0
        memory["paid"][where] = 0.0

    def _judged(self, action: NDArray[np.float64], broken: Flags, failed: bool) -> Judged:
        """A world that blew up is paid nothing and did not fall."""
        judged = self.task.judge(action)
        if failed:
            self._count_broken(broken)
            judged = Judged(
                np.where(broken, 0.0, judged.reward), np.where(broken, 0.0, judged.task), judged.terminated & ~broken
            )
        self.task_reward = judged.task.astype(np.float32)
        return judged

    def _count_broken(self, broken: Flags) -> None:
        self.nan_resets += int(broken.sum())
        self._memory["unstable"][broken] += 1
        if (self._memory["unstable"] >= NAN_LIMIT).any():
            raise UserError(
                f"the simulation of '{self.name}' was unstable in {NAN_LIMIT} episodes of one world in a row (NaN or "
                "huge accelerations); push less hard, use a smaller timestep or mend the model"
            )

    def _seal(self, ended: NDArray[np.int64]) -> None:
        """Writes the verdicts of episodes that ended, in the worlds' order."""
        memory = self._memory
        found = self.annotated_success()[ended].tolist() if self.has_success_test else [None] * len(ended)
        for verdict in zip(found, memory["paid"][ended].tolist(), memory["steps"][ended].tolist(), strict=True):
            self.sealed.write(Outcome(*verdict))

    def _unmasked(self, judged: Judged, done: Flags) -> Floats:
        if self.oracle == "reward":
            return judged.reward.astype(np.float32)
        if self.oracle == "success":
            return np.asarray(done & self.annotated_success(), np.float32)
        return np.full(self.num_worlds, np.nan, np.float32)

    def _checked(self, action: Floats) -> Floats:
        action = np.asarray(action, np.float32)
        if action.shape != (self.num_worlds, *self.action_space.shape):
            raise ValueError(f"actions must be {(self.num_worlds, *self.action_space.shape)}, got {action.shape}")
        flat = action.ravel()  # the sum of all squares, one pass, nearly always settles it
        if not flat.dot(flat) < np.inf and not np.isfinite(action).all():
            raise ValueError("actions must be finite; the policy has diverged")
        return action

    def _moved_on(self, state: NDArray[Any]) -> Observation:
        """What was not read until now can no longer be read."""
        self._tick += 1
        self._observation = Observation(self._views(self.sim.state), np.asarray(state, np.float32), self._words)
        return self._observation

    def _views(self, physics: NDArray[np.float64]) -> LazyViews:
        tick = self._tick
        return LazyViews(
            self.view_names, lambda view: self.camera.pictures(self.sim, physics, view), lambda: self._tick == tick
        )


def body_ids(task: LocomotionTask, bodies: Sequence[str]) -> NDArray[np.int64]:
    """Their numbers in the model. UserError for a body that does not exist."""
    model = task.sim.model
    known = [model.body(i).name for i in range(1, model.nbody)]
    for name in bodies:
        if name not in known:
            raise unknown_name("body", name, known)
    return np.array([1 + known.index(name) for name in bodies], np.int64)
