"""N copies of LIBERO tasks behind the World contract, each episode with its own task's instruction."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import numpy as np

from robo_reward.contracts import Flags, Floats, Observation, Oracle
from robo_reward.envs.libero.catalogue import HORIZONS, LiberoTask, find_tasks, shipped_states
from robo_reward.envs.libero.installation import find_assets
from robo_reward.envs.libero.libero_env import VIEWS, LiberoEnv
from robo_reward.envs.libero.pictures import Meshes
from robo_reward.envs.libero.seen import Timing
from robo_reward.envs.libero.starts import EXACT, STARTS, Spread, Starts
from robo_reward.envs.rendering import Profile
from robo_reward.envs.task_settings import Camerawork, Clock
from robo_reward.envs.vector_world import EnvFactory, VectorWorld, Workers
from robo_reward.errors import UserError, unknown_name

PUSH_SCALE = (0.4, 0.4, 0.4, 0.04, 0.04, 0.04, 0.0)
"""Standard deviation of the pushes that demonstrations may be given, per number of the action: not on the fingers."""

MOST = 0.5
"""Radians by which joints may deviate and metres by which a target may be displaced: a table is hardly wider."""


class LiberoWorld(VectorWorld):
    """A ``VectorWorld`` whose worlds may change their task from one episode to the next.

    ``stand_in_visuals``: whether pictures differ from the published ones. ``tasks``: the instructions, in order.
    """

    push_scale = PUSH_SCALE

    def __init__(
        self,
        factories: Sequence[EnvFactory],
        workers: Workers = "in_process",
        oracle: Oracle = "none",
        stand_in_visuals: bool = False,
        tasks: Sequence[LiberoTask] = (),
        starts: Starts = "reset",
    ) -> None:
        super().__init__(factories, workers, oracle)
        self.stand_in_visuals = stand_in_visuals
        self.tasks, self.starts = tuple(task.instruction for task in tasks), starts
        self._found = tuple(tasks)
        self._walks = len(self.tasks) > 1
        self._first = 0
        self._earlier = self._task

    @functools.cached_property
    def stored_starts(self) -> tuple[int, ...]:
        """Of each task, how many different starts are stored; () where each is drawn by the seed."""
        return tuple(len(shipped_states(task)) for task in self._found) if self.starts == "shipped" else ()

    def reset(self, seed: int) -> Observation:
        """Starts an episode in every world: the first ones, or those that ``begin_at`` named."""
        self._vec.env_method("begin_at", self._first)
        self._first = 0
        return super().reset(seed)

    def begin_at(self, number: int) -> None:
        """The next ``reset`` begins episode ``number`` in the first world; it decides task and shipped start."""
        self._first = number

    def places(self) -> Floats:
        """(N, 6) float32 metres: where what a task moves is now, and where it belongs. Never for a policy to see."""
        return np.stack(self._vec.env_method("places"))

    def other_places(self) -> list[tuple[str, Floats]]:
        """The same of the first world for other tasks' instructions that its scene answers too, beside each."""
        found: list[tuple[str, Floats]] = self._vec.env_method("other_places", indices=[0])[0]
        return found

    def point_out(self, places: Floats) -> dict[str, Floats]:
        """View -> (N, K, 2) float32: where places (N, 3 K) in metres lie in each world's present pictures.

        Shares of the picture from its left and its top; outside [0, 1] lies what it does not show. Of cameras that
        stand still.
        """
        each = [self._vec.env_method("point_out", told, indices=[i])[0] for i, told in enumerate(places)]
        return {view: np.stack([found[view] for found in each]) for view in each[0]}

    def rearrange(self, seed: int) -> Observation:
        """The present scenes with things and arm set aside at random, world i by (seed, i); nothing is to move on."""
        seeds = [int(np.random.SeedSequence((seed, i)).generate_state(1)[0]) for i in range(self.num_worlds)]
        return self._moved_on(
            np.stack([self._vec.env_method("rearrange", s, indices=[i])[0] for i, s in enumerate(seeds)])
        )

    def _moved_on(self, states: Any) -> Observation:
        self._earlier = self._task
        if self._walks:
            self._task = tuple(self._vec.env_method("instruction_now"))
        return super()._moved_on(states)

    def _after(self, now: Observation, done: Flags, infos: Sequence[dict[str, Any]]) -> Observation:
        """An episode's last observation still belongs to its own task."""
        after = super()._after(now, done, infos)
        pairs = zip(done, self._earlier, now.task, strict=True)
        return replace(after, task=tuple(earlier if over else present for over, earlier, present in pairs))


def make_env(
    tasks: Sequence[LiberoTask],
    camerawork: Camerawork,
    clock: Clock,
    starts: Starts = "reset",
    meshes: Meshes = "published",
    timing: Timing = "lerobot",
    world: int = 0,
    worlds: int = 1,
    spread: Spread = EXACT,
) -> LiberoEnv:
    """One of ``worlds`` worlds as a Gymnasium environment."""
    return LiberoEnv(tasks, camerawork, clock, starts, meshes, timing, world, worlds, spread)


def make_world(
    suite: str = "libero_spatial",
    task: int | str | Sequence[int | str] = 0,
    num_worlds: int = 1,
    workers: Workers = "in_process",
    views: Sequence[str] = tuple(VIEWS),
    height: int = 128,
    width: int = 128,
    horizon: int | None = None,
    action_repeat: int = 1,
    profile: Profile = "fast",
    meshes: Meshes = "published",
    starts: Starts = "reset",
    timing: Timing = "lerobot",
    joint_noise: float = 0.0,
    target_shift: float = 0.0,
    evaluation: Mapping[str, Any] | None = None,
    oracle: Oracle = "none",
) -> LiberoWorld:
    """N worlds of the tasks that ``task`` names; ``horizon`` in control steps (20 a second), None for the suite's.

    ``joint_noise``, ``target_shift``: of starts="reset", radians (standard deviation of the arm's joints) and metres.
    ``evaluation``: what the worlds that policies are evaluated in set otherwise (``build_test_world``); only checked.

    Raises:
        UserError: unknown suite, task, view, starts, meshes or timing, a spread out of range, or no assets.
        MissingExtra: hf-libero is not installed.
    """
    for kind in (starts, (evaluation or {}).get("starts", starts)):
        if kind not in STARTS:
            raise unknown_name("kind of starts", str(kind), STARTS)
    for key, value, unit in (("joint_noise", joint_noise, "radians"), ("target_shift", target_shift, "metres")):
        if not 0 <= value <= MOST:
            raise UserError(f"env.{key}={value} must be within 0 and {MOST} {unit}")
    if meshes not in get_args(Meshes):
        raise unknown_name("kind of meshes", str(meshes), get_args(Meshes))
    if timing not in ("lerobot", "present"):
        raise unknown_name("timing", str(timing), ("lerobot", "present"))
    tasks = find_tasks(suite, task)
    stand_in = bool(find_assets().stand_ins)
    camerawork = Camerawork(tuple(views), height, width, profile)
    clock = Clock(HORIZONS[suite] if horizon is None else horizon, action_repeat)
    shown, spread = (camerawork, clock, starts, meshes, timing), Spread(joint_noise, target_shift)
    factories = [partial(make_env, tasks, *shown, i, num_worlds, spread) for i in range(num_worlds)]
    return LiberoWorld(factories, workers, oracle, stand_in, tasks, starts)
