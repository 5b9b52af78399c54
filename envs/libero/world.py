"""N copies of LIBERO tasks behind the World contract, each episode with its own task's instruction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from robo_reward.contracts import Flags, Observation, Oracle
from robo_reward.envs.libero.catalogue import HORIZONS, LiberoTask, find_tasks
from robo_reward.envs.libero.installation import find_assets
from robo_reward.envs.libero.libero_env import VIEWS, LiberoEnv
from robo_reward.envs.libero.pictures import Meshes
from robo_reward.envs.libero.seen import Timing
from robo_reward.envs.libero.starts import STARTS, Starts
from robo_reward.envs.rendering import Profile
from robo_reward.envs.task_settings import Camerawork, Clock
from robo_reward.envs.vector_world import EnvFactory, VectorWorld, Workers
from robo_reward.errors import unknown_name


class LiberoWorld(VectorWorld):
    """A ``VectorWorld`` whose worlds may change their task from one episode to the next.

    ``stand_in_visuals``: whether pictures differ from the published benchmark's.
    """

    def __init__(
        self,
        factories: Sequence[EnvFactory],
        workers: Workers = "in_process",
        oracle: Oracle = "none",
        stand_in_visuals: bool = False,
        walks: bool = False,
    ) -> None:
        super().__init__(factories, workers, oracle)
        self.stand_in_visuals = stand_in_visuals
        self._walks = walks
        self._earlier = self._task

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
) -> LiberoEnv:
    """One of ``worlds`` worlds as a Gymnasium environment."""
    return LiberoEnv(tasks, camerawork, clock, starts, meshes, timing, world, worlds)


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
    oracle: Oracle = "none",
) -> LiberoWorld:
    """N worlds of the tasks that ``task`` names; ``horizon`` in control steps (20 a second), None for the suite's.

    Raises:
        UserError: unknown suite, task, view, starts, meshes or timing, or no assets.
        MissingExtra: hf-libero is not installed.
    """
    if starts not in STARTS:
        raise unknown_name("kind of starts", str(starts), STARTS)
    if meshes not in ("published", "light"):
        raise unknown_name("kind of meshes", str(meshes), ("published", "light"))
    if timing not in ("lerobot", "present"):
        raise unknown_name("timing", str(timing), ("lerobot", "present"))
    tasks = find_tasks(suite, task)
    stand_in = bool(find_assets().stand_ins)
    camerawork = Camerawork(tuple(views), height, width, profile)
    clock = Clock(horizon or HORIZONS[suite], action_repeat)
    shown = (camerawork, clock, starts, meshes, timing)
    factories = [partial(make_env, tasks, *shown, i, num_worlds) for i in range(num_worlds)]
    return LiberoWorld(factories, workers, oracle, stand_in, len(tasks) > 1)
