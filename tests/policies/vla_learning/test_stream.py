"""adaptation=stream: paid as it goes, at the reward's own stride, through all tasks, and judged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from line_env import make_policy, make_session  # type: ignore[import-not-found]
from test_adaptation import WalkingWorld, ground_of

from robo_reward.adaptation import (
    Adaptation,
    BlindGround,
    Bounds,
    blinded,
)
from robo_reward.contracts import Observation, Transition
from robo_reward.line_world import LineReward, LineWorld
from robo_reward.policies.vla_learning.clipped_update import UpdateSettings
from robo_reward.policies.vla_learning.stream import StreamAdaptation
from robo_reward.trace import Trace


def test_a_stream_learns_without_asking_for_a_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    session, policy = make_session(worlds=8), make_policy()
    resets: list[int] = []
    reset = session.world.reset
    monkeypatch.setattr(session.world, "reset", lambda seed: (resets.append(seed), reset(seed))[1])
    hook = StreamAdaptation(window=40, windows=14, min_spread=0.001, update=UpdateSettings(lr=2e-3, batch=64))
    hook.bind(policy, 1, 0)
    rewards: list[float] = []
    learn = hook._learn
    monkeypatch.setattr(hook, "_learn", lambda *given: (rewards.append(given[1].mean()), learn(*given))[1])
    metrics = hook.adapt(ground_of(session))
    assert len(resets) == 1
    assert len(rewards) == 14
    assert np.mean(rewards[-3:]) > np.mean(rewards[:3]) + 0.02
    assert metrics["skipped"] < 0.5
    assert session.tally.env_steps >= 14 * 5 * 2 * 8
    assert session.tally.rollouts == len(session.outcomes) > 0


def test_a_chunk_is_paid_the_progress_that_it_made() -> None:
    session, policy = make_session(worlds=2), make_policy()
    hook = StreamAdaptation(window=10, windows=1, min_spread=0)
    hook.bind(policy, 1, 0)
    seen: list[tuple[Any, Any]] = []
    hook._learn = lambda decisions, rewards: (seen.append((decisions, rewards)), {})[1]  # type: ignore[method-assign]
    places: list[Any] = []

    class Watch(BlindGround):
        def stream(self, policy: Any, seed: int, on_first: Any, on_step: Any) -> None:
            def first(o: Observation) -> None:
                places.append(o.state[:, 0])
                on_first(o)

            def step(t: Transition) -> bool:
                places.append(t.after.state[:, 0])
                return bool(on_step(t))

            super().stream(policy, seed, first, step)

    hook.adapt(Watch(session, blinded(session.world)))
    (decisions, rewards), x = seen[0], np.stack(places)
    assert {d.executed for d in decisions} == {2}
    expected = [x[2 * k + 2, w] - x[2 * k, w] for k in range(5) for w in range(2)]
    assert rewards == pytest.approx(expected, abs=0.01)


class Counting(LineReward):
    """Counts the looks of each kind that it is asked for."""

    def __init__(self, stride: int) -> None:
        super().__init__(stride)
        self.looks: list[list[bool]] = []

    def estimate_where(self, transition: Transition, look: Any) -> Any:
        self.looks.append(look.tolist())
        return super().estimate(transition)


def test_a_stream_looks_at_the_rewards_own_stride() -> None:
    model = Counting(stride=4)
    session, policy = make_session(worlds=1, model=model), make_policy()
    session.world = LineWorld(1, 10)
    hook = StreamAdaptation(window=10, windows=1, min_spread=0)
    hook.bind(policy, 1, 0)
    seen: list[Any] = []
    hook._learn = lambda decisions, rewards: (seen.append((decisions, rewards)), {})[1]  # type: ignore[method-assign]
    hook.adapt(ground_of(session))
    assert len(model.looks) == 6, "at steps 4, 8 and 10 of both episodes, not after every chunk of two"
    decisions, rewards = seen[0]
    assert [d.executed for d in decisions] == [2] * 10
    assert rewards[0] == pytest.approx(rewards[1]), "two chunks between two looks share what was gained"
    assert rewards[2] == pytest.approx(rewards[3])
    starts = [d.seen["observation.state"][0, 0].item() for d in decisions]
    assert rewards[:4].sum() == pytest.approx(starts[4] - starts[0], abs=0.01)


def test_a_streams_episodes_are_judged_and_walk_through_the_tasks() -> None:
    session, policy, world = make_session(worlds=1), make_policy(), WalkingWorld()
    session.world = world
    hook = StreamAdaptation(window=5, windows=1, min_spread=0)  # five chunks of two: an episode a round
    judged: list[Any] = []

    class Check:
        def judge(self, trace: Any) -> float:
            judged.append(trace)
            return 1.0

    adaptation = Adaptation(hook, Bounds(rounds=2, window=2), Check())
    hook.bind(policy, 2, 0)
    ground = ground_of(session)
    ground.heard.append(adaptation.hear)
    assert "judged" in adaptation.round(ground)
    resumed, later = make_session(worlds=1), WalkingWorld()
    resumed.world = later
    again = StreamAdaptation(window=5, windows=1, min_spread=0)
    again.bind(make_policy(), 2, 0)
    again.load(adaptation.state()["hook"])
    again.adapt(ground_of(resumed))
    adaptation.round(ground)
    assert (world.begun, later.begun) == ([0], [1]), "after a resume the second episode comes"
    assert adaptation.judged == 1.0
    assert [len(trace) for trace in judged] == [10, 10]
    assert judged[0].frames["front"].shape[0] == 11
    assert [int(trace.meta["outcome"]) for trace in judged] == [0, 1]


def test_rounds_shorter_than_an_episode_go_on_to_its_end() -> None:
    """Four worlds, two chunks of each a round: an episode of ten steps takes two rounds and a half."""
    session = make_session(worlds=4)
    hook = StreamAdaptation(window=8, windows=1, min_spread=0)
    hook.bind(make_policy(), 9, 0)
    paid: list[float] = []
    learn = hook._learn
    hook._learn = lambda decisions, rewards: (paid.extend(rewards), learn(decisions, rewards))[1]  # type: ignore[method-assign]
    ground = ground_of(session)
    heard: list[Trace] = []
    ground.heard.append(heard.append)
    for _ in range(5):
        hook.adapt(ground)
    assert (session.tally.env_steps, session.tally.rollouts, ground.streamed) == (80, 8, 8)
    assert [len(trace) for trace in heard] == [10] * 8
    gained = [trace.state[-1, 0] - trace.state[0, 0] for trace in heard]
    assert sum(paid) == pytest.approx(sum(gained), abs=0.1), "every chunk is paid, also where two rounds meet"


def test_a_stream_begins_anew_where_something_else_was_played() -> None:
    session, world = make_session(worlds=1), WalkingWorld()
    session.world = world
    hook = StreamAdaptation(window=2, windows=1, min_spread=0)
    hook.bind(make_policy(), 9, 0)
    ground = ground_of(session)
    hook.adapt(ground)
    list(ground.waves(hook._explorer, ground.start(7), 1))
    hook.adapt(ground)
    assert world.begun == [0, 7, 1]
