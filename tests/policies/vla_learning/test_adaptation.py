"""Adaptation sees nothing of the simulator, keeps its bounds, goes back where the check finds harm, and learns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from line_env import make_policy, make_session  # type: ignore[import-not-found]

from robo_reward.adaptation import (
    FORBIDDEN,
    Adaptation,
    AdaptationHook,
    BlindGround,
    BlindWorld,
    Bounds,
    ClassifierCheck,
    blinded,
    hidden,
)
from robo_reward.contracts import Observation, Transition
from robo_reward.errors import UserError
from robo_reward.evaluation import run_episodes
from robo_reward.explorers import RandomPolicy
from robo_reward.line_world import LineReward, LineWorld
from robo_reward.policies.vla_learning.clipped_update import UpdateSettings
from robo_reward.policies.vla_learning.evolve import Evolve
from robo_reward.policies.vla_learning.flow_sde import FlowNoise
from robo_reward.policies.vla_learning.group_tuning import GroupSettings
from robo_reward.policies.vla_learning.stream import StreamAdaptation
from robo_reward.rollout import EndsEpisodes
from robo_reward.sealed_log import SealedError
from robo_reward.session import Session
from robo_reward.walking import Walks

SETTINGS: dict[str, Any] = {"group": GroupSettings(1, 8, 2, 0.01), "update": UpdateSettings(lr=2e-3, batch=64)}


def ground_of(session: Session) -> BlindGround:
    return BlindGround(session, blinded(session.world))


def test_what_the_simulator_knows_cannot_be_read() -> None:
    world: Any = blinded(LineWorld(2, 3))
    world.reset(0)
    for forbidden in FORBIDDEN:
        with pytest.raises(SealedError):
            getattr(world, forbidden)()
    for _ in range(3):
        transition = world.step(np.zeros((2, 1), np.float32))
    with pytest.raises(SealedError):
        world.sealed.outcomes()
    told = hidden(transition)
    for read in (
        lambda: told.env_reward[0],
        lambda: float(told.env_reward),  # type: ignore[arg-type]
        lambda: np.asarray(told.env_reward),
        lambda: told.env_reward + 1,
        lambda: told.env_reward.mean(),
        lambda: told.env_reward > 0,
        lambda: list(told.env_reward),
        lambda: bool(told.env_reward),
    ):
        with pytest.raises(SealedError, match="must not see"):
            read()


def test_a_world_with_an_oracle_is_refused_and_a_leak_raises() -> None:
    with pytest.raises(UserError, match="oracle=none"):
        BlindWorld(LineWorld(oracle="success"))
    leaky = LineWorld()
    world = BlindWorld(leaky)
    world.reset(0)
    leaky.oracle = "reward"
    with pytest.raises(SealedError):
        world.step(np.zeros((1, 1), np.float32))


class WalkingWorld(LineWorld):
    """Says which episode is next, as worlds of several tasks do."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks, self.begun = ("a", "b"), list[int]()

    def begin_at(self, number: int) -> None:
        self.begun.append(number)


def test_a_blind_world_can_what_the_world_can() -> None:
    world, plain = WalkingWorld(), blinded(LineWorld())
    blind = blinded(world)
    assert isinstance(blind, EndsEpisodes)
    assert isinstance(blind, Walks)
    assert not isinstance(plain, Walks)
    run_episodes(blind, RandomPolicy(world.action_space, np.random.default_rng(0)), 3, 0)
    assert world.begun == [0, 1, 2], "evaluation walks through the tasks"
    with pytest.raises(SealedError):
        blind.annotated_success()


class Waster:
    """Moves a point against the policy: its 'policy' is the share of good episodes."""

    def __init__(self, shares: list[float]) -> None:
        self.shares, self.rounds, self.weight = shares, 0, 0

    def bind(self, policy: Any, rounds: int, seed: int) -> None: ...

    def adapt(self, ground: Any) -> Mapping[str, float]:
        for k in range(4):
            for hear in ground.heard:
                hear(k / 4 < self.shares[self.rounds])
        self.rounds += 1
        self.weight += 1
        return {"reward": 0.0}

    def drift(self) -> float:
        return 0.1 * self.weight

    def state(self) -> dict[str, Any]:
        return {"weight": self.weight}

    def load(self, state: Mapping[str, Any]) -> None:
        self.weight = state["weight"]

    def go_back(self, state: Mapping[str, Any]) -> None:
        self.load(state)


class Told:
    def judge(self, trace: Any) -> float:
        return float(trace)


def adapted(shares: list[float], **bounds: Any) -> tuple[Adaptation, Waster, list[dict[str, float]]]:
    hook = Waster(shares)
    assert isinstance(hook, AdaptationHook)
    adaptation = Adaptation(hook, Bounds(window=4, **bounds), Told())
    ground = ground_of(make_session())
    ground.heard.append(adaptation.hear)
    rows = []
    while not adaptation.ended:
        rows.append(adaptation.round(ground))
    return adaptation, hook, rows


def test_weights_go_back_to_the_best_where_the_check_sees_fewer_successes() -> None:
    adaptation, hook, rows = adapted([0.5, 0.75, 0.5, 0.25], rounds=4, fall=0.3)
    assert [row["judged"] for row in rows] == [0.5, 0.75, 0.5, 0.25]
    assert [row["rolled_back"] for row in rows] == [0, 0, 0, 1]
    assert hook.weight == 1, "the weights that played the best round, those before its update"
    assert (adaptation.returns, adaptation.ended) == (1, "all rounds done")


def test_after_some_rollbacks_it_ends() -> None:
    adaptation, _, rows = adapted([1.0, 0.0, 0.0, 1.0], rounds=9, fall=0.3, patience=2)
    assert adaptation.ended == "2 rollbacks"
    assert len(rows) == 3


def test_drift_is_bounded_and_what_passes_the_bound_is_not_kept() -> None:
    adaptation, hook, rows = adapted([1.0] * 9, rounds=9, drift=0.35)
    assert len(rows) == 4
    assert hook.weight == 3
    assert "bounds.drift is 0.35" in adaptation.ended


def test_a_bound_on_a_drift_that_cannot_be_told_is_refused() -> None:
    hook = Evolve(GroupSettings(1, 4, 1, 0.0), UpdateSettings(way="imitate"), FlowNoise(level=0.0), stop=None)
    hook.bind(make_policy(), 2, 0)
    session = make_session()
    with pytest.raises(UserError, match=r"bounds\.drift=2 cannot be kept"):
        Adaptation(hook, Bounds(rounds=2, drift=2.0), None).round(ground_of(session))
    assert session.tally.rollouts == 0, "before anything was played"


def test_a_drift_that_is_not_a_number_is_not_kept() -> None:
    hook = Waster([1.0] * 3)
    hook.drift = lambda: float("nan") if hook.weight > 1 else 0.0  # type: ignore[method-assign]
    adaptation = Adaptation(hook, Bounds(rounds=3, drift=1.0), None)
    ground = ground_of(make_session())
    while not adaptation.ended:
        adaptation.round(ground)
    assert (hook.weight, adaptation.done) == (1, 2)


def test_a_drift_that_was_rolled_back_does_not_bring_the_bad_weights_back() -> None:
    adaptation, hook, rows = adapted([1.0, 0.75, 0.25], rounds=3, fall=0.3, drift=0.25)
    assert [row["rolled_back"] for row in rows] == [0, 0, 1]
    assert (hook.weight, adaptation.returns, adaptation.ended) == (0, 1, "all rounds done")
    assert rows[-1]["drift"] == 0, "of the weights that are kept"


def test_state_goes_through_a_resume() -> None:
    adaptation, hook, _ = adapted([0.5, 0.5], rounds=2)
    again = Adaptation(Waster([]), Bounds(window=4), Told())
    again.load(adaptation.state())
    assert (again.done, again.returns, again.judged, again.hook.state()) == (2, 0, 0.5, hook.state())


def test_evolve_learns_ends_episodes_by_progress_and_grows_the_horizon() -> None:
    session, policy = make_session(), make_policy()
    hook = Evolve(**SETTINGS, stop=0.9, stages=[0.5, 1.0])
    adaptation = Adaptation(hook, Bounds(rounds=12), ClassifierCheck(LineReward(), 0.5))
    hook.bind(policy, 12, 0)
    ground = ground_of(session)
    ground.heard.append(adaptation.hear)
    rows = []
    while not adaptation.ended:
        rows.append(adaptation.round(ground))
    assert [row["horizon"] for row in rows] == [5] * 6 + [10] * 6
    assert all(row["length"] <= 5 for row in rows[:6])
    assert rows[-1]["reward"] > rows[0]["reward"] + 0.2
    assert session.stopped, "what the detector ended is told apart"
    with pytest.raises(SealedError):
        session.world.sealed.outcomes()


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
    again = StreamAdaptation(window=5, windows=1, min_spread=0)
    again.bind(make_policy(), 2, 0)
    again.load(adaptation.state()["hook"])
    again.adapt(ground_of(session))
    adaptation.round(ground)
    assert world.begun == [0, 1, 1], "the second round is the second episode's, also after a resume"
    assert adaptation.judged == 1.0
    assert [len(trace) for trace in judged] == [10, 10]
    assert judged[0].frames["front"].shape[0] == 11
    assert [int(trace.meta["outcome"]) for trace in judged] == [0, 2]


def test_only_vlas_are_adapted_so() -> None:
    clone: Any = type("Clone", (), {})()
    with pytest.raises(UserError, match="Clone"):
        Evolve().bind(clone, 1, 0)
