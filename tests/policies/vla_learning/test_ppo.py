"""PPO over chunks: GAE by hand, what chunks earn, the value head, that a toy reward rises, resume, and its verb."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from line_env import goes_on_as_saved, make_policy, make_session  # type: ignore[import-not-found]

from robo_reward.errors import UserError
from robo_reward.playground import HorizonStop, Playground
from robo_reward.policies.vla.features import DataFacts
from robo_reward.policies.vla_learning.chunk_advantages import chunk_rewards, gae
from robo_reward.policies.vla_learning.clipped_update import UpdateSettings
from robo_reward.policies.vla_learning.flow_sde import FlowNoise
from robo_reward.policies.vla_learning.group_tuning import GroupSettings
from robo_reward.policies.vla_learning.ppo_tuning import PpoSettings, PpoTuner
from robo_reward.policies.vla_learning.value_head import ValueHead, context_features


def tuner_of(head: str = "flow", lr: float = 2e-3, **settings: Any) -> PpoTuner:
    ppo = PpoSettings(**{"episodes": 8, **settings})
    return PpoTuner(make_policy(head), GroupSettings(), UpdateSettings(lr=lr, batch=64), FlowNoise(), 0, ppo)


def test_gae_by_hand() -> None:
    # surprises: 0 + .5 * 4 - 2 = 0 and 1 + 0 - 4 = -3; the first also sees .5 * .5 of the second's
    advantages, returns = gae(np.array([0.0, 1.0]), np.array([2.0, 4.0]), gamma=0.5, decay=0.5)
    assert advantages.tolist() == [-0.75, -3.0]
    assert returns.tolist() == [1.25, 1.0]


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=9), st.floats(0.1, 1))
def test_with_decay_1_returns_are_discounted_sums_whatever_the_values(rewards: list[float], gamma: float) -> None:
    worth = np.linspace(-1, 1, len(rewards)).astype(np.float64)
    _, returns = gae(np.array(rewards), worth, gamma, 1.0)
    assert returns[0] == pytest.approx(sum(gamma**k * r for k, r in enumerate(rewards)), abs=1e-9)


def test_chunks_earn_the_steps_that_they_executed() -> None:
    assert chunk_rewards(np.array([1.0, 2, 3, 4, 5]), [2, 2, 1]).tolist() == [3, 7, 5]
    with pytest.raises(UserError, match="executed 4 actions in an episode of 5 steps"):
        chunk_rewards(np.zeros(5), [2, 2])


def test_episodes_begin_where_they_like_and_are_counted() -> None:
    session = make_session(worlds=3)
    tuner = tuner_of()
    group = tuner.play(Playground(session), HorizonStop(5))
    assert len({round(float(trace.state[0, 0]), 6) for trace in group.traces}) == 8
    assert (session.tally.rollouts, session.tally.env_steps) == (8, 40)
    decisions = [d for row in group.decisions for d in row]
    log_ratio, random = tuner.update.log_ratio(decisions)
    assert random.any(1).all()
    assert log_ratio.detach().abs().max().item() < 1e-4


@pytest.mark.parametrize(("head", "lr", "rounds"), [("flow", 2e-3, 9), ("tokens", 4e-3, 12)])
def test_a_toy_reward_rises_and_the_value_head_learns_to_expect_it(head: str, lr: float, rounds: int) -> None:
    session, tuner = make_session(), tuner_of(head, lr, episodes=16)
    ground, ways, rows = Playground(session), [], []
    for _ in range(rounds):
        rows.append(tuner.round(ground))
        ways.append(np.mean([t.state[-1, 0] - t.state[0, 0] for g in tuner.last for t in g.traces]))
    assert "kl" not in rows[0], "the first round fits the value head alone"
    assert np.mean(ways[-3:]) > np.mean(ways[:3]) + 0.15
    assert rows[-1]["explained"] > 0.3 > rows[0]["explained"]
    assert tuner.drift() > 0.1


def test_one_number_at_the_end_is_the_last_decisions() -> None:
    tuner = tuner_of(credit="end", pays="final")
    kept, _ = tuner.gather(Playground(make_session()))
    trace, decisions = kept[0].traces[0], kept[0].decisions[0]
    earned = tuner._earned(trace, decisions, float(kept[0].rewards[0]))
    assert earned.tolist() == [0, 0, 0, 0, pytest.approx(trace.frames["front"][-1].mean() / 255, abs=1e-6)]


def test_a_tuner_that_was_saved_goes_the_same_way() -> None:
    goes_on_as_saved(tuner_of)


def test_the_value_head_tells_contexts_and_times_apart() -> None:
    torch.manual_seed(0)
    head, features, over = ValueHead(4, 32), torch.randn(64, 4), torch.rand(64)
    assert head(features, over).abs().max().item() == 0, "it begins knowing nothing"
    target = features[:, 0] - over
    optimizer = torch.optim.Adam(head.parameters(), 1e-2)
    for _ in range(300):
        loss = (head(features, over) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def test_smolvlas_context_has_no_padding_in_it(recipes: dict[str, Any]) -> None:
    stats = {
        "observation.state": {"mean": np.zeros(2, np.float32), "std": np.ones(2, np.float32)},
        "action": {"mean": np.zeros(1, np.float32), "std": np.full(1, 0.5, np.float32)},
    }
    bound = np.ones(1, np.float32)
    policy = recipes["smolvla"].build(DataFacts("line", {"front": (8, 8)}, 2, 1, stats), -bound, bound)
    tuner = PpoTuner(policy, GroupSettings(), UpdateSettings(lr=1e-3), FlowNoise(), 0, PpoSettings(episodes=4, warm=0))
    group = tuner.play(Playground(make_session()))
    decisions = [d for row in group.decisions for d in row]
    alone, all_ = context_features(policy, decisions[:1]), context_features(policy, decisions)
    assert alone.shape == (1, 16)
    assert torch.allclose(alone[0], all_[0], atol=1e-5)
    assert all_.std(0).max() > 1e-4, "different sights, different contexts"
    assert tuner.round(Playground(make_session()))["kl"] < 1.0


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"episodes": 1}, {"gamma": 0.0}, {"decay": 1.5}, {"credit": "some"}, {"value_lr": 0.0}):
        with pytest.raises(UserError):
            PpoSettings(**wrong)  # type: ignore[arg-type]
