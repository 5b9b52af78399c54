"""Pictures of rearranged scenes with their places: what a camera can learn of where things are, without any episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from robo_reward.contracts import Floats, Frames, Observation, World
from robo_reward.data.recording import KnowsPlaces
from robo_reward.errors import UserError, unknown_name
from robo_reward.seeding import derive_seed
from robo_reward.trace import Trace
from robo_reward.walking import begin_at, number_of_tasks

SCENES_PER_START = 25
"""Pictures of a scene from one reset, which alone places fixtures anew."""


@runtime_checkable
class Rearranges(Protocol):
    """A simulated world that can set its things and its robot aside at random."""

    def rearrange(self, seed: int) -> Observation:
        """The present episode's scene, rearranged as ``seed`` says; the episode is not meant to go on."""
        ...


def collect_scenes(world: World, count: int, seed: int, views: Sequence[str] | None = None) -> list[Trace]:
    """``count`` rearranged scenes of each task, as one trace of still pictures each: places (count, P), no success.

    Actions are zero and mean nothing: learners must not imitate them. The last scene of a trace is there twice, since
    a trace has one state more than it has actions. ``views``: cameras to keep, None: all. The same seed gives the same
    scenes.

    Raises:
        UserError: ``count`` below 1, an unknown view, more than one world, or a world that cannot rearrange its scene.
    """
    if count < 1:
        raise UserError(f"scenes={count} must be 1 or more")
    if not isinstance(world, Rearranges) or not isinstance(world, KnowsPlaces):
        raise UserError(f"'{world.name}' cannot rearrange its scene: set scenes=0")
    if world.num_worlds != 1:
        raise UserError(f"scenes are collected in one world, not in {world.num_worlds}")
    for view in views or ():
        if view not in world.view_names:
            raise unknown_name("view", view, world.view_names)
    chosen = world.view_names if views is None else tuple(views)
    slides = _Slides(world, world, world, chosen)
    return [slides.of_task(task, count, seed) for task in range(number_of_tasks(world))]


@dataclass(frozen=True, slots=True)
class _Slides:
    """One world in its three roles."""

    world: World
    scenes: Rearranges
    known: KnowsPlaces
    views: tuple[str, ...]

    def of_task(self, task: int, count: int, seed: int) -> Trace:
        """The scenes of one task."""
        frames: dict[str, list[Frames]] = {view: [] for view in self.views}
        states, places, instruction = list[Floats](), list[Floats](), ""
        for scene in range(count):
            if scene % SCENES_PER_START == 0:
                begin_at(self.world, task + number_of_tasks(self.world) * (scene // SCENES_PER_START))
                self.world.reset(derive_seed(seed, "scenes", task, scene))
            now = self.scenes.rearrange(derive_seed(seed, "scene", task, scene))
            instruction = now.task[0]
            states.append(now.state[0].copy())
            places.append(self.known.places()[0].copy())
            for view, shown in frames.items():
                shown.append(np.array(now.views[view][0], np.uint8))
        actions = np.zeros((count, *self.world.action_space.shape), np.float32)
        return _still(instruction, states, actions, frames, places, self.world.fps)


def _still(
    task: str,
    states: list[Floats],
    actions: Floats,
    frames: Mapping[str, list[Frames]],
    places: list[Floats],
    fps: float,
) -> Trace:
    return Trace(
        task=task,
        state=np.stack([*states, states[-1]]),
        action=actions,
        frames={view: np.stack(shown) for view, shown in frames.items()},
        frame_steps=np.arange(len(actions), dtype=np.int64),
        fps=fps,
        source="dataset",
        places=np.stack([*places, places[-1]]),
    )
