"""The constraint's arithmetic by hand: advantages, the policy's turn towards lower cost, lambda's steps."""

from __future__ import annotations

import numpy as np
import pytest

from robo_reward.errors import UserError
from robo_reward.reward_models.disturber.curriculum import Curriculum
from robo_reward.reward_models.disturber.experience import advantages
from robo_reward.reward_models.disturber.multiplier import DualSettings, Multiplier
from robo_reward.reward_models.disturber.policy_turn import apart, towards


def test_generalised_advantages_by_hand() -> None:
    paid, now, then = np.array([[1.0], [2.0], [3.0]]), np.full((3, 1), 0.5), np.full((3, 1), 4.0)
    terminated, done = np.array([[False], [True], [False]]), np.array([[False], [True], [True]])
    found = advantages(paid, now, then, terminated, done, gamma=0.5, decay=0.5)
    # last: 3 + .5*4 - .5 ; middle: terminated, 2 - .5 ; first: 1 + 2 - .5 + .25 * 1.5
    assert found[:, 0] == pytest.approx([2.875, 1.5, 4.5])


def test_the_policy_is_turned_by_lambda_times_the_cost() -> None:
    advantage, cost = np.array([[1.0, -1.0]], np.float32), np.array([[2.0, 6.0]])
    towards(advantage, cost, 3.0, np.array([True, True]))
    # of spread 1 and mean 0, both; 1 + 3 parts
    assert advantage == pytest.approx(np.array([[(1.0 + 3.0) / 4.0, (-1.0 - 3.0) / 4.0]]), abs=1e-5)
    advantage, cost = np.array([[7.0, 1.0], [9.0, -1.0]], np.float32), np.array([[2.0], [6.0]])
    towards(advantage, cost, 3.0, np.array([False, True]))
    assert advantage == pytest.approx(np.array([[7.0, (1.0 + 3.0) / 4.0], [9.0, (-1.0 - 3.0) / 4.0]]), abs=1e-5)


def test_pushed_and_unpushed_worlds_have_a_mean_and_a_spread_of_their_own() -> None:
    advantage, calm = np.array([[5.0, 100.0], [5.0, 300.0]], np.float32), np.array([[0.02], [0.04]])
    apart(advantage, calm, np.array([False, True]))
    assert advantage == pytest.approx(np.array([[-1.0, -1.0], [1.0, 1.0]]), abs=1e-4)


def test_lambda_grows_where_the_constraint_is_broken() -> None:
    multiplier = Multiplier(DualSettings(start=1.0, rate=0.5, most=2.0))
    multiplier.step(slack=0.4)
    assert multiplier.value == pytest.approx(0.8)
    multiplier.step(slack=-9.0)
    assert multiplier.value == 2.0
    multiplier.step(slack=9.0)
    assert multiplier.value == 0.0


def test_a_bound_without_a_share_of_falls_never_waits() -> None:
    assert not Curriculum(10.0).waits(1.0)
    picky = Curriculum(10.0, falls=0.01)
    assert [picky.waits(falls) for falls in (0.0, 0.01, 0.011)] == [False, False, True]
    assert picky.counted(100, 40, falls=1, pushed=100) == 100
    assert picky.counted(100, 40, falls=2, pushed=100) == 60
    assert picky.counted(100, 40, falls=0, pushed=0) == 100
    late = Curriculum(10.0, warmup=80, falls=0.01)
    assert [late.counted(steps, 40, 2, 20) for steps in (60, 100, 140)] == [60, 80, 100]
    for wrong in (0.0, -1.0, 1.5, float("nan")):
        with pytest.raises(UserError, match=r"hook\.curriculum\.falls"):
            Curriculum(10.0, falls=wrong)
