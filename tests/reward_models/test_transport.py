"""Optimal transport between short sequences: marginals, the cost of oneself, and why resting does not pay."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from robo_reward.errors import UserError
from robo_reward.reward_models.transport import TransportModel
from robo_reward.reward_models.transport_plan import LEAST_EPSILON, cosine_cost, sinkhorn, transport_costs


def path(count: int = 12) -> NDArray[np.float32]:
    """Unit vectors along a quarter circle: the further apart in time, the more they differ."""
    angle = np.linspace(0, np.pi / 2, count)
    return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)


def test_cosine_cost_by_hand() -> None:
    first = np.array([[1, 0], [0, 2]], np.float32)
    second = np.array([[3, 0], [-1, 0], [1, 1]], np.float32)
    expected = [[0, 2, 1 - np.sqrt(0.5)], [1, 1, 1 - np.sqrt(0.5)]]
    np.testing.assert_allclose(cosine_cost(first, second), expected, atol=1e-6)
    assert np.isfinite(cosine_cost(np.zeros((1, 2), np.float32), first)).all()


@given(st.integers(1, 25), st.integers(1, 25), st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_the_plan_has_uniform_marginals(rows: int, columns: int, seed: int) -> None:
    cost = np.random.default_rng(seed).uniform(0, 2, (rows, columns)).astype(np.float32)
    plan = sinkhorn(cost, epsilon=0.5, iterations=300)
    assert (plan >= 0).all()
    np.testing.assert_allclose(plan.sum(0), 1 / columns, atol=1e-3)
    np.testing.assert_allclose(plan.sum(1), 1 / rows, atol=1e-3)


def test_two_by_two_finds_the_cheap_pairs() -> None:
    plan = sinkhorn(np.array([[0, 1], [1, 0]], np.float32), epsilon=0.05)
    np.testing.assert_allclose(plan, [[0.5, 0], [0, 0.5]], atol=1e-6)


def test_a_sequence_matches_itself_at_hardly_any_cost() -> None:
    corners = np.eye(6, dtype=np.float32)
    assert transport_costs(corners, corners).max() < 1e-6
    # neighbours on a smooth path are alike, so entropy blurs the plan a little
    assert transport_costs(path(), path()).mean() < 0.06


def test_costs_do_not_depend_on_the_order_of_the_demonstration() -> None:
    episode, demonstration = path(9), path(12)
    one = transport_costs(episode, demonstration)
    two = transport_costs(episode, demonstration[::-1].copy())
    np.testing.assert_allclose(one, two, atol=1e-4)


def test_resting_at_the_end_costs_more_than_walking_there() -> None:
    demonstration = path()
    resting = demonstration[[-1] * 12]
    walking = transport_costs(demonstration, demonstration).mean()
    assert transport_costs(resting, demonstration).mean() > 5 * walking
    # resting: every demonstrated frame must be covered, so the mean cost is that to all of them
    by_hand = (1 - demonstration @ demonstration[-1]).mean()
    assert transport_costs(resting, demonstration).mean() == pytest.approx(by_hand, abs=1e-3)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"epsilon": 0.0}, "epsilon=0.0 must be a finite number of 0.033 or more"),
        ({"epsilon": 0.001}, "epsilon=0.001 must be"),
        ({"iterations": 0}, "iterations=0 must be a whole number of 1 or more"),
        ({"references": 0}, "references=0 must be a whole number of 1 or more"),
    ],
)
def test_settings_that_match_nothing_are_refused(setting: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        TransportModel([], encoder="state", **setting)


def test_the_least_epsilon_still_carries_everything() -> None:
    cost = np.full((5, 7), 2, np.float32)
    assert sinkhorn(cost, LEAST_EPSILON).sum() == pytest.approx(1, abs=1e-3)
