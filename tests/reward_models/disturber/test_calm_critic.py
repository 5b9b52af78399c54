"""The critic of the unpushed worlds: its advantages by hand, and that it learns what these worlds pay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from robo_reward.contracts import Flags, Floats
from robo_reward.pushes.collected import Collected
from robo_reward.reward_models.disturber.calm_critic import CalmCritic
from robo_reward.reward_models.disturber.experience import Experience

GAMMA, DECAY = 0.5, 0.5


def seen(rows: int = 3, worlds: int = 1) -> Experience:
    """Paid 1, 2, 3, ... in each world; the second episode of each is cut off at the end, the first one ends."""
    states: list[Floats] = [np.full((worlds, 2), t, np.float32) for t in range(rows + 1)]
    ended: list[Flags] = [np.full(worlds, t == 1) for t in range(rows)]
    return Experience(
        before=states[:-1],
        after=states[1:],
        paid=[np.full(worlds, t + 1.0, np.float64) for t in range(rows)],
        terminated=ended,
        done=[end | (t == rows - 1) for t, end in enumerate(ended)],
    )


def rollout(returns: Any, gamma: float = GAMMA) -> Collected:
    """Of a learner with these returns (T, N)."""
    advantage = np.zeros(np.shape(returns), np.float32)
    return Collected(advantage, np.asarray(returns, np.float32), gamma, DECAY)


def saying(value: float) -> CalmCritic:
    """A critic of a task that pays 4 at most, which says ``value`` of every state."""
    critic = CalmCritic(2, bound=4.0)
    with torch.no_grad():
        torch.nn.init.zeros_(critic.net[-1].weight)  # type: ignore[arg-type]
        torch.nn.init.constant_(critic.net[-1].bias, value)  # type: ignore[arg-type]
    return critic


def test_its_advantages_by_hand() -> None:
    nobody = np.zeros((3, 1))
    found, explained = saying(0.25).gains(seen(), rollout(nobody), np.array([True]), torch.Generator().manual_seed(0))
    # half of what was paid, since values are times 1 - gamma; last: 1.5 + .125 - .25; middle, terminated: 1 - .25;
    # first: .5 + .125 - .25 + .25 * .75
    assert found[:, 0] == pytest.approx([0.5625, 0.75, 1.375])
    assert explained == pytest.approx(0.0)  # one value for all states


def test_it_comes_to_value_states_at_what_follows_them() -> None:
    critic, generator = CalmCritic(2, bound=4.0), torch.Generator().manual_seed(0)
    for _ in range(60):
        critic.gains(seen(rows=2, worlds=64), rollout(np.zeros((2, 64))), np.ones(64, bool), generator)
    worth = critic.values(torch.tensor([[0.0, 0.0], [1.0, 1.0]])).tolist()
    # the second step pays (1 - gamma) 2 = 1 and ends; the first pays 0.5 and half of that
    assert worth == pytest.approx([1.0, 1.0], abs=0.1)


@pytest.mark.parametrize("count", [1, 30])
def test_while_nobody_is_pushed_it_learns_the_learners_returns_of_everybody(count: int) -> None:
    critic, generator = CalmCritic(2, bound=4.0), torch.Generator().manual_seed(0)
    assert critic.untaught
    pushed = np.arange(64) >= 16
    returns = np.tile([[8.0], [24.0]], (1, 64))
    for _ in range(count):
        told = rollout(returns)
        metrics = critic.judge(seen(rows=2, worlds=64), told, pushed, False, generator)
    assert not told.advantage.any()  # the learner's own advantages stay
    assert metrics == {"unpushed_reward": pytest.approx(1.5 * 4.0)}
    worth = critic.values(torch.tensor([[0.0, 0.0], [1.0, 1.0]])).tolist()
    # shares of the bound, times 1 - gamma
    if count > 1:
        assert worth == pytest.approx([1.0, 3.0], abs=0.2)
    assert not critic.untaught


def test_before_its_first_use_it_learns_the_learners_returns_of_the_unpushed_worlds() -> None:
    critic, generator = CalmCritic(2, bound=4.0), torch.Generator().manual_seed(0)
    pushed = np.arange(64) >= 32
    returns = np.where(pushed, -1000.0, [[8.0], [8.0]])
    told = rollout(returns)
    critic.judge(seen(rows=2, worlds=64), told, pushed, True, generator)
    assert told.advantage[:, ~pushed].std() == pytest.approx(1.0, abs=1e-3)
    twice = critic.values(torch.tensor([[0.0, 0.0]]))
    assert twice.item() > 0.0  # pushed worlds, whose returns are far below, had no part


def test_what_it_says_after_a_fit_is_what_it_was_fitted_to_say() -> None:
    """The scale of its inputs does not move after the fit."""
    critic, generator = CalmCritic(2, bound=4.0), torch.Generator().manual_seed(0)
    states = [np.full((64, 2), 50.0 + t, np.float32) for t in range(3)]
    few = seen(rows=2, worlds=64)
    few.before[:] = states[:-1]
    for _ in range(3):
        critic.follow(few, rollout(np.full((2, 64), 8.0)), np.ones(64, bool), generator)
    with torch.no_grad():
        assert critic.values(torch.as_tensor(states[0])).numpy() == pytest.approx(1.0, abs=0.25)
