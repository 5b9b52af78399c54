"""EPIC and STARC against values done by hand, and blind to exactly what they should be blind to."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_reward.reward_models.audit.reward_distance import (
    epic_canonical,
    epic_distance,
    levelled,
    normalised_distance,
    pearson_distance,
    sampled_epic,
    sampled_starc,
    starc_distance,
)

GAMMA = 0.9
SEEDS = st.integers(0, 10**6)


def shaped(reward: np.ndarray, potential: np.ndarray) -> np.ndarray:
    return reward + GAMMA * potential[None, None, :] - potential[:, None, None]


def drawn(seed: int, states: int = 4, actions: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A reward, a transition table and a potential."""
    rng = np.random.default_rng(seed)
    tau = rng.dirichlet(np.ones(states), (states, actions))
    return rng.normal(size=(states, actions, states)), tau, rng.normal(size=states)


@pytest.mark.parametrize(("pearson", "distance"), [(1, 0), (0.5, 0.5), (0, math.sqrt(0.5)), (-1, 1)])
def test_pearson_distance(pearson: float, distance: float) -> None:
    one, across = np.array([1, 1, -1, -1.0]), np.array([1, -1, 1, -1.0])
    assert pearson_distance(one, pearson * one + math.sqrt(1 - pearson**2) * across) == pytest.approx(
        distance, abs=1e-7
    )


def test_constants_are_alike_and_half_way_from_the_rest() -> None:
    assert pearson_distance([2, 2], [5, 5]) == 0
    assert pearson_distance([2, 2], [0, 1]) == pytest.approx(math.sqrt(0.5))


def test_epic_canonical_by_hand() -> None:
    # two states, one action, R(s, s') = [[0, 2], [4, 6]]; means 1 and 5, overall 3; gamma .5
    reward = np.array([[[0.0, 2]], [[4, 6]]])
    # R + .5 mean(s') - mean(s) - .5 * 3: (0,0) 0+.5-1-1.5 = -2; (0,1) 2+2.5-1-1.5 = 2; (1,0) 4+.5-5-1.5 = -2; (1,1) 2
    assert epic_canonical(reward, [1, 1], [1], 0.5)[:, 0] == pytest.approx(np.array([[-2, 2], [-2, 2]]))


def test_levelled_by_hand() -> None:
    # one state, two actions paying 1 and 3, gamma .5: V = 2 / (1 - .5) = 4, residuals 1 + 2 - 4 = -1 and 3 + 2 - 4 = 1
    reward, tau = np.array([[[1.0], [3]]]), np.ones((1, 2, 1))
    assert levelled(reward, tau, 0.5)[0] == pytest.approx([-1, 1])
    # the opposite preference is as far as can be; a third action that pays the mean is orthogonal to nothing
    assert starc_distance(reward, -reward, tau, 0.5) == pytest.approx(1)
    assert starc_distance(reward, np.zeros_like(reward), tau, 0.5) == pytest.approx(0.5)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.floats(0.1, 50), st.floats(-5, 5))
def test_scale_and_shaping_leave_no_distance(seed: int, scale: float, offset: float) -> None:
    reward, tau, potential = drawn(seed)
    same = shaped(scale * reward + offset, potential)
    assert epic_distance(reward, same, np.ones(4), np.ones(2), GAMMA) == pytest.approx(0, abs=1e-6)
    assert starc_distance(reward, same, tau, GAMMA) == pytest.approx(0, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.floats(-12, 12), st.sampled_from([0.5, 0.9, 0.99, 0.999]))
def test_no_size_of_a_reward_is_too_small_or_too_large(seed: int, power: float, gamma: float) -> None:
    reward, tau, potential = drawn(seed)
    size = 10.0**power
    shaping = size * (gamma * potential[None, None, :] - potential[:, None, None]) + np.zeros_like(reward)

    def both(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
        return epic_distance(one, other, np.ones(4), np.ones(2), gamma), starc_distance(one, other, tau, gamma)

    assert both(size * reward, reward) == pytest.approx((0, 0), abs=1e-6)
    assert both(-size * reward, reward) == pytest.approx((1, 1), abs=1e-6)
    for nothing in (shaping, np.full_like(reward, size)):
        assert both(nothing, reward) == pytest.approx((math.sqrt(0.5), 0.5), abs=1e-9)
        assert both(nothing, np.zeros_like(reward)) == (0, 0)
    if size <= 1e6:  # beyond, doubles no longer hold the reward beside it
        assert both(reward + shaping, reward) == pytest.approx((0, 0), abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.floats(-12, 12))
def test_no_size_of_a_sampled_reward_is_too_small_or_too_large(seed: int, power: float) -> None:
    rng = np.random.default_rng(seed)
    before = rng.normal(size=(50, 3))
    after = before + 0.3 * rng.normal(size=(50, 3))
    truth, size = np.tanh(after[:, 0]), 10.0**power
    assert sampled_epic(size * truth, -truth) == pytest.approx(1)
    assert sampled_epic(size * truth, truth) == pytest.approx(0, abs=1e-6)
    assert sampled_starc(size * truth, -truth, before, after, 0.99) == pytest.approx(1)
    assert sampled_starc(size * truth, truth, before, after, 0.99) == pytest.approx(0, abs=1e-6)
    assert sampled_starc(np.full(50, size), truth, before, after, 0.99) == pytest.approx(0.5)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_redistribution_over_next_states_is_nothing_to_starc(seed: int) -> None:
    reward, tau, _ = drawn(seed)
    moved = np.random.default_rng(seed + 1).normal(size=reward.shape)
    moved -= (tau * moved).sum(2, keepdims=True)  # no difference in expectation
    assert starc_distance(reward, reward + moved, tau, GAMMA) == pytest.approx(0, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_worse_copies_are_farther_and_distances_are_symmetric(seed: int) -> None:
    reward, tau, _ = drawn(seed)
    noise = drawn(seed + 1)[0]
    # noise without its share of the reward, so that more of it is always worse
    for distance in (
        lambda a, b: epic_distance(a, b, np.ones(4), np.ones(2), GAMMA),
        lambda a, b: starc_distance(a, b, tau, GAMMA),
    ):
        steps = [distance(reward, (1 - w) * reward + w * -reward) for w in (0.2, 0.8, 1)]
        assert steps == pytest.approx([0, 1, 1], abs=1e-6)
        assert distance(reward, reward + 0.1 * noise) <= distance(reward, reward + 10 * noise) + 1e-9
        assert distance(reward, noise) == pytest.approx(distance(noise, reward))


def test_sampled_distances_on_recorded_transitions() -> None:
    rng = np.random.default_rng(0)
    before, moves = rng.normal(size=(400, 3)), rng.normal(size=(400, 3))
    after = before + 0.3 * moves
    truth = np.tanh(after[:, 0]) + 0.2 * moves[:, 1] ** 2
    potential = after @ [1, -2, 0.5] * 0.99 - before @ [1, -2, 0.5]
    noisy = [truth + w * rng.normal(size=400) for w in (0.1, 0.5, 3)]
    assert sampled_epic(truth, 7 * truth - 2) == pytest.approx(0, abs=1e-7)
    for size in (1, 1000):
        shaped = 3 * truth + size * potential + 4
        assert sampled_starc(truth, shaped, before, after, 0.99) == pytest.approx(0, abs=1e-7)
    for measure in (sampled_epic, lambda a, b: sampled_starc(a, b, before, after, 0.99)):
        rising = [measure(truth, n) for n in (*noisy, -truth)]
        assert rising == sorted(rising)
        assert rising[-1] == pytest.approx(1, abs=1e-9)
    assert sampled_starc(truth, potential, before, after, 0.99) == pytest.approx(0.5)  # pure shaping is no reward


def test_no_more_transitions_than_directions_have_no_distance() -> None:
    rng = np.random.default_rng(0)
    states, one = rng.normal(size=(2, 5, 4)), rng.normal(size=5)
    assert math.isnan(sampled_starc(one, rng.normal(size=5), states[0], states[1], 0.99))
    assert math.isnan(sampled_starc([], [], np.zeros((0, 4)), np.zeros((0, 4)), 0.99))
    assert math.isnan(sampled_epic([], []))
    assert sampled_starc(one, -one, states[0, :, :2], states[1, :, :2], 0.99) == pytest.approx(1)


def test_normalised_distance_by_hand() -> None:
    assert normalised_distance([3, 4], [6, 8]) == pytest.approx(0)
    assert normalised_distance([1, 0], [0, 2]) == pytest.approx(math.sqrt(2) / 2)
    assert normalised_distance([0, 0], [0, 0]) == 0
