"""Credit goes to the decision at which an episode was decided, told from other episodes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from line_env import make_policy  # type: ignore[import-not-found]
from numpy.typing import NDArray

from robo_reward.errors import UserError
from robo_reward.policies.vla_learning.exploring import Decision
from robo_reward.policies.vla_learning.likelihood import Draw
from robo_reward.policies.vla_learning.outcome_critic import CriticSettings, OutcomeCritic

GRASP, DECISIONS = 3, 10
NOTHING = Draw(*(torch.zeros(1, 1, 1, 1),) * 4)


def episode(held: bool, rng: np.random.Generator) -> list[Decision]:
    """Ten decisions; from the one after ``GRASP`` on the state tells whether something is held."""
    rows = []
    for k in range(DECISIONS):
        felt = 0.04 if held and k > GRASP else 0.0
        state = torch.tensor([[0.1 * k + 0.01 * rng.normal(), felt + 0.001 * rng.normal()]], dtype=torch.float32)
        rows.append(Decision({"observation.state": state}, NOTHING, 4))
    return rows


def played(count: int) -> tuple[list[list[Decision]], NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    outcomes = np.array([k % 2 for k in range(count)], np.float64)[rng.permutation(count)]
    return [episode(bool(o), rng) for o in outcomes], outcomes


def test_credit_is_where_the_outcome_was_decided() -> None:
    episodes, outcomes = played(32)
    critic = OutcomeCritic(make_policy(), CriticSettings(decay=0.0), 0)
    size = np.abs(np.stack(critic.credit(episodes, outcomes))).mean(0)
    assert size.argmax() == GRASP
    assert size[GRASP] > 5 * np.delete(size, GRASP).max()
    signed = np.stack(critic.credit(episodes, outcomes))[:, GRASP]
    assert (np.sign(signed) == np.sign(outcomes - 0.5)).all()


def test_with_decay_one_it_is_what_the_episode_earned_beyond_what_was_expected() -> None:
    episodes, outcomes = played(16)
    advantages = OutcomeCritic(make_policy(), CriticSettings(decay=1.0), 0).credit(episodes, outcomes)
    first = np.array([a[0] for a in advantages])
    assert np.abs(first[outcomes == 1] - 0.5).max() < 0.4, "before the grasp half of the episodes are expected to win"
    assert all(abs(a[-1]) < 0.25 for a in advantages), "at the end nothing is left to learn"


def test_nobody_explains_his_own_outcome() -> None:
    """Without anything in the states that tells, values must not know the outcomes."""
    rng = np.random.default_rng(1)
    episodes = [episode(False, rng) for _ in range(32)]
    outcomes = np.array([k % 2 for k in range(32)], np.float64)[rng.permutation(32)]
    advantages = OutcomeCritic(make_policy(), CriticSettings(decay=1.0), 0).credit(episodes, outcomes)
    left = np.array([np.abs(a).mean() for a in advantages])
    assert left.mean() > 0.35


def test_earlier_episodes_are_learned_from_and_survive_a_checkpoint() -> None:
    episodes, outcomes = played(16)
    one, two = (OutcomeCritic(make_policy(), CriticSettings(memory=20), 0) for _ in range(2))
    one.credit(episodes, outcomes)
    two.load(one.state())
    for a, b in zip(one.credit(episodes, outcomes), two.credit(episodes, outcomes), strict=True):
        np.testing.assert_allclose(a, b)
    assert len(one.state()["outcomes"]) == 20


def test_a_round_that_failed_is_remembered_as_one() -> None:
    """What rose from .2 to .3 does not count as a success where later ones earn 1."""
    rng = np.random.default_rng(0)
    failed, low = [episode(False, rng) for _ in range(32)], np.linspace(0.2, 0.3, 32, dtype=np.float64)
    held = [k % 2 == 0 for k in range(32)]
    later, rewards = [episode(h, rng) for h in held], np.where(held, 1.0, 0.2)
    critic = OutcomeCritic(make_policy(), CriticSettings(memory=128), 0)
    critic.credit(failed, low)
    state = critic.state()
    assert state["outcomes"] == low.tolist(), "kept as they were earned"
    credit = np.stack(critic.credit(later, rewards))[:, GRASP]
    assert credit[held].mean() > 0.7, "a success is a surprise after so many failures"
    again = OutcomeCritic(make_policy(), CriticSettings(memory=128), 0)
    again.load(state)
    np.testing.assert_array_equal(np.stack(again.credit(later, rewards))[:, GRASP], credit)


def test_settings_and_numbers_that_cannot_be() -> None:
    for folds, decay, memory in ((1, 0.5, 0), (2, 1.5, 0), (2, 0.5, -1)):
        with pytest.raises(UserError):
            CriticSettings(folds, decay, memory)
    episodes, outcomes = played(3)
    critic = OutcomeCritic(make_policy(), CriticSettings(folds=4), 0)
    assert len(critic.credit(episodes, outcomes)) == 3
    with pytest.raises(UserError, match="by others"):
        critic.credit(episodes[:1], outcomes[:1])
