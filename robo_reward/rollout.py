"""Runs a policy for some episodes and hands each over as a trace; training, evaluation and collection share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np

from robo_reward.contracts import Flags, Needs, Observation, Policy, Transition, World
from robo_reward.episode_recorder import EpisodeRecorder
from robo_reward.seeding import derive_seed
from robo_reward.trace import Source, Trace
from robo_reward.walking import begin_at

OnStep = Callable[[Transition], None]
OUTCOME = "outcome"
"""The entry of a trace's ``meta``, and of an ended episode's info: where its verdict is in the sealed log."""
STOPPED = "stopped"
"""The entry of ``meta`` and info that says that a detector ended the episode."""


@runtime_checkable
class EndsEpisodes(Protocol):
    """A world whose episodes can be ended from outside, by our own detector of success."""

    def end(self, where: Flags) -> Observation:
        """Ends the episodes of the worlds where ``where`` (N,) is True and shows the first frames of their next ones.

        The verdicts of the ended episodes are sealed, in the worlds' order. Frames that were not read before can no
        longer be read.
        """
        ...


@runtime_checkable
class Rests(Protocol):
    """A world that can spare the reset after an episode, where the next one is begun by ``reset`` anyway."""

    def rest_at_end(self) -> None:
        """Asked after ``reset``, until the next one or ``restore``: the world shows its last state where it ended."""
        ...


class Stopper(Protocol):
    """Ends episodes by what it sees, never by what the simulator knows."""

    needs: Needs

    def begin(self, first: Observation, fresh: Flags) -> None:
        """Episodes where ``fresh`` (N,) is True start anew."""
        ...

    def stops(self, transition: Transition) -> Flags:
        """(N,) the episodes that end with this step."""
        ...


def rollout(
    world: World,
    policy: Policy,
    episodes: int,
    seed: int,
    *,
    views: Sequence[str] = (),
    stride: int = 1,
    source: Source = "policy",
    on_step: OnStep | None = None,
    stopper: Stopper | None = None,
    first: int = 0,
) -> Iterator[Trace]:
    """Yields ``episodes`` traces; the same seed and number of worlds give the same starts.

    The worlds run in lockstep, N episodes at a time, each wave with seeds derived from ``seed`` and its number;
    ``trace.meta["outcome"]`` is the position of the episode's verdict in the world's sealed log. An episode that
    ``stopper`` ends is terminated there (``meta["stopped"]`` is 1); its verdict is sealed by worlds that can be ended
    from outside (``EndsEpisodes``), others know of none. ``first``: the number of the first episode, for worlds whose
    episodes walk through tasks.
    """
    world.keep_final(tuple(dict.fromkeys((*views, *(stopper.needs.views if stopper else ())))))
    finished = 0
    wave = 0
    while finished < episodes:
        wanted = min(world.num_worlds, episodes - finished)
        start = derive_seed(seed, "wave", wave)
        begin_at(world, first + finished)
        for trace in _wave(world, policy, wanted, start, views, stride, source, on_step, stopper):
            finished += 1
            yield trace
        wave += 1


def _wave(
    world: World,
    policy: Policy,
    wanted: int,
    seed: int,
    views: Sequence[str],
    stride: int,
    source: Source,
    on_step: OnStep | None,
    stopper: Stopper | None,
) -> list[Trace]:
    observation = world.reset(seed)
    if world.num_worlds == 1 and isinstance(world, Rests):
        world.rest_at_end()
    policy.reset(np.ones(world.num_worlds, bool))
    recorder = EpisodeRecorder(wanted, views, stride, world.fps, source)
    recorder.begin(observation, np.ones(world.num_worlds, bool))
    if stopper is not None:
        stopper.begin(observation, np.ones(world.num_worlds, bool))
    traces: dict[int, Trace] = {}
    while len(traces) < wanted:
        mark = world.sealed.mark()
        transition = world.step(policy.act(observation)[:, 0])
        if on_step is not None:
            on_step(transition)
        stopped = (
            stopper.stops(transition) & ~transition.done if stopper is not None else np.zeros_like(transition.done)
        )
        seen = replace(transition, terminated=transition.terminated | stopped)
        ends = isinstance(world, EndsEpisodes)
        verdicts = verdict_positions(mark, transition.done, stopped & ends)
        for i, trace in recorder.add(seen).items():
            traces[i] = told(trace, verdicts.get(i), bool(stopped[i]))
        observation = world.end(stopped) if isinstance(world, EndsEpisodes) and stopped.any() else world.observe()
        fresh = seen.done if ends else transition.done
        policy.reset(fresh)
        if stopper is not None and fresh.any():
            stopper.begin(observation, fresh)
    return [traces[i] for i in range(wanted)]


def verdict_positions(mark: int, done: Flags, stopped: Flags) -> dict[int, int]:
    """World -> the position of its verdict in the sealed log, which held ``mark`` verdicts before the step.

    The world writes those of episodes that end by themselves, in its own order, then those that were ended (N,).
    """
    return {int(i): mark + k for k, i in enumerate((*np.flatnonzero(done), *np.flatnonzero(stopped)))}


def told(trace: Trace, position: int | None, stopped: bool) -> Trace:
    """The trace with ``outcome``, the position of its verdict, and ``stopped``: that a detector ended it."""
    outcome = {} if position is None else {OUTCOME: position}
    return replace(trace, meta={**trace.meta, **outcome, **({STOPPED: 1.0} if stopped else {})})
