"""Pictures of rearranged scenes with their places: what a camera can learn of where things are, without any episode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from robo_reward.contracts import Floats, Frames, Observation, World
from robo_reward.data.recording import KnowsPlaces, points_of, stacked_points
from robo_reward.errors import UserError, unknown_name
from robo_reward.seeding import derive_rng, derive_seed
from robo_reward.trace import Trace
from robo_reward.walking import begin_at, number_of_tasks

SCENES_PER_START = 25
"""Pictures of a scene from one reset, which alone places fixtures anew."""
ALSO = 5
"""Instructions of other tasks that a scene is labelled with too: labels cost nothing, pictures do."""


@runtime_checkable
class Rearranges(Protocol):
    """A simulated world that can set its things and its robot aside at random."""

    def rearrange(self, seed: int) -> Observation:
        """The present episode's scene, rearranged as ``seed`` says; the episode is not meant to go on."""
        ...


@runtime_checkable
class AnswersOthers(Protocol):
    """A simulated world whose scene other instructions than its own have a meaning in."""

    def other_places(self) -> list[tuple[str, Floats]]:
        """Such instructions, each with its places (P,)."""
        ...


def collect_scenes(
    world: World, count: int, seed: int, views: Sequence[str] | None = None, also: int = ALSO
) -> list[Trace]:
    """All that ``draw_scenes`` yields."""
    return list(draw_scenes(world, count, seed, views, also))


def check_rearranges(world: World, count: int) -> None:
    """Refuses ``count`` scenes of each task that a world cannot show.

    Raises:
        UserError: ``count`` below 1, more than one world, or a world that cannot rearrange its scene.
    """
    if count < 1:
        raise UserError(f"scenes={count} must be 1 or more")
    if not isinstance(world, Rearranges) or not isinstance(world, KnowsPlaces):
        raise UserError(f"'{world.name}' cannot rearrange its scene: leave scenes={count} out")
    if world.num_worlds != 1:
        raise UserError(
            f"scenes are drawn in one world, not in env.num_worlds={world.num_worlds}: set env.num_worlds=1, or draw "
            f"them first (robo-reward collect scenes={count}) and give their folder, learner.scenes=FOLDER"
        )


def draw_scenes(
    world: World, count: int, seed: int, views: Sequence[str] | None = None, also: int = ALSO
) -> Iterator[Trace]:
    """``count`` rearranged scenes of each task, as traces of still pictures: places (count, P), no success; points too
    in worlds that can point them out.

    A scene also counts for up to ``also`` instructions of the world's other tasks that have a meaning in it: one
    more trace for each. Actions are zero and mean nothing: learners must not imitate them. The last scene of a trace is
    there twice, since a trace has one state more than it has actions. ``views``: cameras to keep, None: all. The same
    seed gives the same scenes.

    Raises:
        UserError: ``count`` below 1, an unknown view, more than one world, or a world that cannot rearrange its scene.
    """
    check_rearranges(world, count)
    assert isinstance(world, Rearranges)
    assert isinstance(world, KnowsPlaces)
    for view in views or ():
        if view not in world.view_names:
            raise unknown_name("view", view, world.view_names)
    chosen = world.view_names if views is None else tuple(views)
    slides = _Slides(world, world, world, chosen, also)
    return (trace for task in range(number_of_tasks(world)) for trace in slides.of_task(task, count, seed))


@dataclass(frozen=True, slots=True)
class _Slide:
    """One scene: state (S,), pictures, and the places (P,) of each instruction, its own first, with their points."""

    state: Floats
    frames: Mapping[str, Frames]
    told: Mapping[str, Floats]
    points: Mapping[str, Mapping[str, Floats] | None]


@dataclass(frozen=True, slots=True)
class _Slides:
    """One world in its three roles."""

    world: World
    scenes: Rearranges
    known: KnowsPlaces
    views: tuple[str, ...]
    also: int

    def of_task(self, task: int, count: int, seed: int) -> Iterator[Trace]:
        """The scenes of one task, by instruction."""
        slides = [self._slide(task, scene, seed) for scene in range(count)]
        size = self.world.action_space.shape
        for instruction in dict.fromkeys(words for slide in slides for words in slide.told):
            answering = [slide for slide in slides if instruction in slide.told]
            yield _still(instruction, answering, size, self.world.fps)

    def _slide(self, task: int, scene: int, seed: int) -> _Slide:
        if scene % SCENES_PER_START == 0:
            begin_at(self.world, task + number_of_tasks(self.world) * (scene // SCENES_PER_START))
            self.world.reset(derive_seed(seed, "scenes", task, scene))
        now = self.scenes.rearrange(derive_seed(seed, "scene", task, scene))
        told = {now.task[0]: np.array(self.known.places()[0], np.float32)}
        if self.also and isinstance(self.world, AnswersOthers):
            others = self.world.other_places()
            rng = derive_rng(seed, "other instructions", task, scene)
            told |= dict(others[k] for k in rng.permutation(len(others))[: self.also])
        frames = {view: np.array(now.views[view][0], np.uint8) for view in self.views}
        points = {words: points_of(self.world, places, self.views) for words, places in told.items()}
        return _Slide(now.state[0].copy(), frames, told, points)


def recordable(trace: Trace) -> Trace:
    """A trace of scenes for ``write_dataset``, its last one twice: a frame more than what is read back as samples."""
    again = {name: np.concatenate([shown, shown[-1:]]) for name, shown in trace.frames.items()}
    points = None if trace.points is None else {view: np.append(p, p[-1:], 0) for view, p in trace.points.items()}
    return replace(
        trace,
        state=np.append(trace.state, trace.state[-1:], 0),
        action=np.append(trace.action, trace.action[-1:], 0),
        frames=again,
        frame_steps=np.arange(len(trace) + 1, dtype=np.int64),
        places=None if trace.places is None else np.append(trace.places, trace.places[-1:], 0),
        points=points,
    )


def _still(instruction: str, slides: Sequence[_Slide], size: tuple[int, ...], fps: float) -> Trace:
    """The trace of slides that answer an instruction; ``size``: an action's shape."""
    twice = [*slides, slides[-1]]
    return Trace(
        task=instruction,
        state=np.stack([slide.state for slide in twice]),
        action=np.zeros((len(slides), *size), np.float32),
        frames={view: np.stack([slide.frames[view] for slide in slides]) for view in slides[0].frames},
        frame_steps=np.arange(len(slides), dtype=np.int64),
        fps=fps,
        source="dataset",
        places=np.stack([slide.told[instruction] for slide in twice]),
        points=stacked_points([slide.points[instruction] for slide in twice]),
    )
