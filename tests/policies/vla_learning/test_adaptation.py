"""Adaptation sees nothing of the simulator, keeps its bounds, goes back where the check finds harm, and learns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from line_env import make_policy, make_session  # type: ignore[import-not-found]
from told_hook import Counting, Told

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
from robo_reward.errors import UserError
from robo_reward.evaluation import run_episodes
from robo_reward.explorers import RandomPolicy
from robo_reward.line_world import LineReward, LineWorld
from robo_reward.policies.vla_learning.clipped_update import UpdateSettings
from robo_reward.policies.vla_learning.evolve import Evolve
from robo_reward.policies.vla_learning.flow_sde import FlowNoise
from robo_reward.policies.vla_learning.group_tuning import GroupSettings
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


class Waster(Counting):
    """Moves a point against the policy: its 'policy' is the share of good episodes."""

    def __init__(self, shares: list[float]) -> None:
        self.shares, self.rounds = shares, 0

    def adapt(self, ground: Any) -> Mapping[str, float]:
        self.play(ground, [("go right", k / 4 < self.shares[self.rounds]) for k in range(4)])
        self.rounds += 1
        return {"reward": 0.0}


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


def test_the_horizon_grows_by_the_budget_that_ends_first() -> None:
    hook, session = Evolve(**SETTINGS, stop=None), make_session(worlds=8, rollouts=24)
    hook.bind(make_policy(), 20, 0)
    ground = ground_of(session)
    horizons = []
    while session.left():
        horizons.append(hook.adapt(ground)["horizon"])
    assert horizons == [5, 8, 10], "three rounds of eight episodes, at three stages"


def test_only_vlas_are_adapted_so() -> None:
    clone: Any = type("Clone", (), {})()
    with pytest.raises(UserError, match="Clone"):
        Evolve().bind(clone, 1, 0)
