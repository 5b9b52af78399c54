"""Where policies practise: several episodes from one start, or one stream without resets, all of them counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robo_reward.contracts import Flags, Needs, Observation, Policy, Transition, World
from robo_reward.episode_recorder import EpisodeRecorder
from robo_reward.errors import UserError
from robo_reward.rollout import OUTCOME, STOPPED, EndsEpisodes, Stopper, rollout, told
from robo_reward.seeding import derive_seed
from robo_reward.session import Session
from robo_reward.trace import Trace
from robo_reward.walking import begin_at


class SameStart:
    """A world whose every reset leads all its copies to one start; everything else is the world's own."""

    def __init__(self, world: World, start: Any) -> None:
        self._world, self._start = world, start

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)

    def reset(self, seed: int) -> Observation:
        """Goes back to the start, whatever the seed."""
        return self._world.restore([self._start] * self._world.num_worlds)


class SameStartEnding(SameStart):
    """The same for worlds whose episodes can be ended from outside."""

    def end(self, where: Flags) -> Observation:
        """Ends the episodes of the worlds where ``where`` (N,) is True."""
        shown: Observation = self._world.end(where)  # type: ignore[attr-defined]
        return shown


class HorizonStop:
    """Ends episodes after ``steps`` decisions, sooner than their world would."""

    def __init__(self, steps: int, inner: Stopper | None = None) -> None:
        self._steps, self._inner = steps, inner
        self.needs = inner.needs if inner is not None else Needs()
        self._age: Any = np.zeros(0, np.int64)

    def begin(self, first: Observation, fresh: Flags) -> None:
        """Episodes where ``fresh`` (N,) is True start anew."""
        if self._inner is not None:
            self._inner.begin(first, fresh)
        self._age = np.where(fresh, 0, self._age if len(self._age) == len(fresh) else 0)

    def stops(self, transition: Transition) -> Flags:
        """(N,) the episodes that end with this step."""
        self._age = self._age + 1
        late: Flags = self._age >= self._steps
        return late if self._inner is None else late | self._inner.stops(transition)


@dataclass(slots=True)
class _Open:
    """A stream that may go on: who acts, what the worlds show, what is recorded, where episodes are about to begin."""

    policy: Policy
    observation: Observation
    recorder: EpisodeRecorder
    fresh: Flags


class Playground:
    """Steps a session's world for learning; every episode and step is counted in its tally.

    ``world``: None for the session's own; a wrapper of it where learning may see less.
    """

    def __init__(self, session: Session, world: World | None = None) -> None:
        self.session = session
        self.world: World = session.world if world is None else world
        self.heard: list[Callable[[Trace], None]] = []
        """Who hears of every finished episode, unpriced."""
        self.earned: list[tuple[int, float]] = []
        """Of priced episodes the position of their sealed verdict, and what they earned (``reward_truth``)."""
        self.streamed = 0
        """How many episodes streams have begun, which is the number of the next one's first."""
        self._open: _Open | None = None

    @property
    def views(self) -> tuple[str, ...]:
        """The views that reward and judge read."""
        return self.session.views

    @property
    def stride(self) -> int:
        """Decisions between the frames that are kept."""
        return self.session.stack.model.needs.stride

    def start(self, number: int) -> Any:
        """A snapshot of the start that ``number`` names: seeded, and in the tasks' turn where a world has several.

        Raises:
            UserError: the world gives no snapshot of each of its copies.
        """
        world, self._open = self.world, None
        begin_at(world, number)
        world.reset(derive_seed(self.session.seed, "group start", number))
        taken = world.snapshot()
        if len(taken) != world.num_worlds:
            raise UserError(f"'{world.name}' gives no snapshot of each world, so no group can begin in one start")
        return taken[0]

    def waves(self, policy: Policy, start: Any, episodes: int, stopper: Stopper | None = None) -> Iterator[list[Trace]]:
        """Plays ``episodes`` from a start, as many side by side as there are worlds; trace k of a wave is world k's.

        Raises:
            UserError: ``stopper`` is to end episodes of a world that cannot be told to.
        """
        self._open = None
        kind = SameStartEnding if hasattr(self.world, "end") else SameStart
        world: Any = kind(self.world, start)
        _check_can_end(world, stopper)
        left = episodes
        while left > 0:
            wanted = min(left, self.world.num_worlds)
            played = list(rollout(world, policy, wanted, 0, views=self.views, stride=self.stride, stopper=stopper))
            self.count(played)
            yield played
            left -= wanted

    def fresh(
        self, policy: Policy, seed: int, episodes: int, number: int, stopper: Stopper | None = None
    ) -> list[Trace]:
        """Plays ``episodes``, at most one a world, each from its own start under ``seed``; trace k is world k's.

        ``number``: of the first episode, for worlds that walk through several tasks.

        Raises:
            UserError: ``stopper`` is to end episodes of a world that cannot be told to.
        """
        _check_can_end(self.world, stopper)
        wanted, views, self._open = min(episodes, self.world.num_worlds), self.views, None
        made = rollout(self.world, policy, wanted, seed, views=views, stride=self.stride, stopper=stopper, first=number)
        played = list(made)
        self.count(played)
        return played

    def count(self, traces: Sequence[Trace]) -> None:
        """Notes finished episodes in tally, sealed outcomes and hooks."""
        session = self.session
        for trace in traces:
            session.tally.rollouts += 1
            session.tally.env_steps += len(trace)
            if "outcome" in trace.meta:
                session.note_outcome(int(trace.meta["outcome"]), STOPPED in trace.meta)
            self._tell(trace)

    def pay(self, traces: Sequence[Trace], rewards: Sequence[float]) -> None:
        """Notes what episodes earned, for whoever reads the verdicts when all is over."""
        pairs = zip(traces, rewards, strict=True)
        self.earned += [(int(t.meta[OUTCOME]), float(reward)) for t, reward in pairs if OUTCOME in t.meta]

    def stream(
        self, policy: Policy, seed: int, on_first: Callable[[Observation], None], on_step: Callable[[Transition], bool]
    ) -> None:
        """Steps on and on without asking for a reset, until ``on_step`` says False; episodes stay open then.

        The next call for the same policy goes on in the middle of them. Where there is nothing to go on with, or
        something else was played meanwhile, worlds begin at the episode number at which the last stream stopped
        (``streamed``), and ``on_first`` is shown it. Worlds begin episodes anew only when their own time is over.
        Finished episodes are told to hooks and to who hears.
        """
        at, self._open = self._open, None
        if at is None or at.policy is not policy:
            at = self._begin(policy, seed, on_first)
        going = True
        while going:
            going = self._step(at, on_step)
        self._open = at

    def _begin(self, policy: Policy, seed: int, on_first: Callable[[Observation], None]) -> _Open:
        world = self.world
        world.keep_final(self.views)
        begin_at(world, self.streamed)
        observation = world.reset(derive_seed(seed, "stream"))
        on_first(observation)
        fresh: Flags = np.ones(world.num_worlds, bool)
        policy.reset(fresh)
        heard = bool(self.heard or self.session.hooks)
        recorder = EpisodeRecorder(world.num_worlds if heard else 0, self.views, self.stride, world.fps, "policy")
        recorder.begin(observation, fresh)
        return _Open(policy, observation, recorder, fresh)

    def _step(self, at: _Open, on_step: Callable[[Transition], bool]) -> bool:
        """One step of the stream; whether it is to go on."""
        world, session = self.world, self.session
        mark = world.sealed.mark()
        transition = world.step(at.policy.act(at.observation)[:, 0])
        self.streamed += int(at.fresh.sum())
        at.fresh = transition.done
        session.tally.env_steps += world.num_worlds
        ended = at.recorder.add(transition)
        for k, index in enumerate(np.flatnonzero(at.fresh)):
            session.tally.rollouts += 1
            session.note_outcome(mark + k, False)
            if (trace := ended.get(int(index))) is not None:
                self._tell(told(trace, mark + k, False))
        going = on_step(transition)
        at.observation = world.observe()
        at.recorder.begin(at.observation, at.fresh)
        at.policy.reset(at.fresh)
        return going

    def _tell(self, trace: Trace) -> None:
        for hook in self.session.hooks:
            hook.on_episode(trace)
        for hear in self.heard:
            hear(trace)


def _check_can_end(world: World, stopper: Stopper | None) -> None:
    """Who learns takes world k's first episode for one that has ended; unknown to its world it would go on."""
    if stopper is not None and not isinstance(world, EndsEpisodes):
        raise UserError(
            f"'{world.name}' has no end(where), so its episodes cannot be ended early: set stop=null and stages=[1.0] "
            "(of learner or adaptation) or hook=none, or give the world one"
        )
