"""DSRL: the policy stays as it is, its noise is chosen, decisions become transitions, and a toy reward rises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from line_env import make_policy, make_session  # type: ignore[import-not-found]

from robo_reward.build import load_policy
from robo_reward.contracts import Budget, Policy
from robo_reward.errors import UserError
from robo_reward.evaluation import run_episodes
from robo_reward.line_world import LineReward, LineWorld
from robo_reward.policies.soft_actor_critic import SacSettings
from robo_reward.policies.vla_learning.dsrl import DsrlLearner, rows_of
from robo_reward.policies.vla_learning.exploring import ExploringPolicy
from robo_reward.policies.vla_learning.steering import NoiseSteering
from robo_reward.policies.vla_learning.step_discounts import check_no_step_discount
from robo_reward.reward_models.transforms.absorbing import Absorbing
from robo_reward.reward_models.transforms.level import Level
from robo_reward.reward_models.transforms.potential import Potential
from robo_reward.reward_stack import RewardStack
from robo_reward.rollout import rollout
from robo_reward.session import Session


class Recipe:
    """Stands for ``policy.path=RUN``."""

    path = "start"

    def build(self, *_: Any) -> Any:
        return make_policy()

    def check_names(self, available: Any) -> None:
        """Nothing is renamed."""

    def views_of(self, available: Any) -> Any:
        return available


class Silent:
    """A run folder that keeps nothing."""

    def log(self, step: int, values: Any) -> None: ...


def learner_of(**more: Any) -> DsrlLearner:
    settings: dict[str, Any] = {"warmup": 8, "ratio": 8.0, "batch": 64, "checkpoint_every": 1000} | more
    learner = DsrlLearner(sac=SacSettings(gamma=0.8, anchor=0.0), **settings)
    learner.take_policy(Recipe())
    return learner


@pytest.fixture(scope="module")
def steered() -> tuple[Policy, Session]:
    torch.manual_seed(0)
    session = make_session(run=Silent(), rollouts=48)
    return learner_of().learn(session), session


def final(policy: Policy) -> float:
    traces, _ = run_episodes(LineWorld(4, 10), policy, 8, 3)
    return float(np.mean([t.state[-1, 0] for t in traces]))


def test_a_toy_reward_rises_and_the_policy_is_not_changed(steered: tuple[Policy, Session]) -> None:
    torch.manual_seed(0)
    policy, session = steered
    assert session.tally.rollouts == 48
    assert final(policy) > final(make_policy()) + 0.3
    torch.manual_seed(0)
    for one, other in zip(policy.policy.policy.parameters(), make_policy().policy.parameters(), strict=True):  # type: ignore[attr-defined]
        assert torch.equal(one, other)


def test_its_episodes_walk_through_the_tasks() -> None:
    begun: list[int] = []

    class Walking(LineWorld):
        tasks = ("a", "b", "c", "d", "e")

        def begin_at(self, number: int) -> None:
            begun.append(number)

    session = make_session(worlds=2, run=Silent(), rollouts=5)
    session.world = Walking(2, 10)
    learner_of(warmup=2).learn(session)
    assert begun == [0, 2, 4], "a wave begins where the last one ended"


def test_it_is_saved_whole(steered: tuple[Policy, Session], tmp_path: Path) -> None:
    steered[0].save(tmp_path)
    again = load_policy(tmp_path)
    assert final(again) == pytest.approx(final(steered[0]), abs=1e-5)
    assert (tmp_path / "base" / "pretrained_model" / "config.json").is_file()


def test_decisions_become_transitions() -> None:
    session, policy = make_session(worlds=1), make_policy()
    steering = NoiseSteering(policy, 1.5)
    steering.mode = "uniform"
    explorer = ExploringPolicy(policy, steering)
    (trace,) = rollout(session.world, explorer, 1, 0, views=("front",))
    decisions = explorer.take(0)[0]
    reward = np.arange(10, dtype=np.float32)
    rows = rows_of(policy, steering, decisions, reward, False)
    assert rows["reward"].tolist() == [1, 5, 9, 13], "sums of two; the last decision's next state was never decided in"
    assert rows["terminal"].tolist() == [0] * 4
    assert rows["state"][1:].tolist() == rows["after"][:-1].tolist()
    assert rows["state"][0, :2] == pytest.approx(trace.state[0], abs=1e-5)
    ended = rows_of(policy, steering, decisions, reward, True)
    assert ended["reward"].tolist() == [1, 5, 9, 13, 17]
    assert ended["terminal"].tolist() == [0, 0, 0, 0, 1]
    assert np.abs(ended["action"]).max() <= 1


def test_a_budget_is_asked_for() -> None:
    with pytest.raises(UserError, match="set rollouts or steps"):
        learner_of().learn(make_session(run=Silent()))
    with pytest.raises(UserError, match="more than"):
        learner_of().learn(make_session(run=Silent(), rollouts=8))
    with pytest.raises(UserError, match=r"steps=8 are over before learner\.warmup=8 .*about 80 steps"):
        learner_of().learn(make_session(run=Silent(), steps=8))
    with pytest.raises(UserError, match="reach=0"):
        DsrlLearner(reach=0)


def test_a_budget_of_steps_that_ends_within_the_warm_up_is_learned_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = make_session(worlds=1, run=Silent(), steps=40)
    policy = learner_of().learn(session)
    assert session.tally.rollouts == 4
    assert "ended within learner.warmup=8 episodes: 16 decisions" in capsys.readouterr().out
    assert session.tally.updates == 8 * 16
    policy.save(tmp_path)
    assert final(load_policy(tmp_path)) == pytest.approx(final(policy), abs=1e-5)


def test_episodes_of_a_single_decision_say_nothing() -> None:
    stack, budget = RewardStack(LineReward(), [Level()]), Budget(rollouts=9)
    run: Any = Silent()
    with pytest.raises(UserError, match="no episode had a second decision"):
        learner_of().learn(Session(LineWorld(1, 2), stack, [], budget, run, 0))


@pytest.mark.parametrize("piece", [Potential(gamma=0.95), Absorbing(gamma=0.95)], ids=["potential", "absorbing"])
def test_pieces_with_a_discount_a_step_are_refused(piece: Any) -> None:
    stack = RewardStack(LineReward(), [Level(), piece])
    with pytest.raises(UserError, match=r"discounts by gamma=0.95 a step, but learner=dsrl by decisions"):
        check_no_step_discount(stack, "dsrl")
    check_no_step_discount(RewardStack(LineReward(), [Level()]), "dsrl")
