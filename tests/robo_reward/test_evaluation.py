"""Success rates and their intervals, against numbers done by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_reward.evaluation import merge, summarise, wilson
from robo_reward.sealed_log import Outcome


def test_wilson_of_47_of_50() -> None:
    # p = .94, z^2 = 3.841459: centre (.94 + .03841459) / 1.0768292,
    # half 1.959964 sqrt(.0011280 + .00038415) / 1.0768292
    low, high = wilson(47, 50)
    assert low == pytest.approx(0.8378, abs=1e-4)
    assert high == pytest.approx(0.9794, abs=1e-4)


def test_wilson_at_the_ends() -> None:
    low, high = wilson(10, 10)
    assert low == pytest.approx(10 / (10 + 1.959964**2))
    assert high == pytest.approx(1.0)
    assert wilson(0, 10) == pytest.approx((1 - high, 1 - low))
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 500), st.data())
def test_the_interval_holds_the_rate_and_mirrors(episodes: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, episodes))
    low, high = wilson(successes, episodes)
    assert 0 <= low <= successes / episodes + 1e-9
    assert successes / episodes - 1e-9 <= high <= 1
    mirrored = wilson(episodes - successes, episodes)
    assert mirrored == pytest.approx((1 - high, 1 - low))


def test_summarise_counts_only_what_was_judged() -> None:
    told = summarise([Outcome(True, 2.0, 5), Outcome(False, 4.0, 5), Outcome(None, 6.0, 5)])
    assert told.episodes == 3
    assert told.success_rate == 0.5
    assert told.successful == 1
    assert told.env_return == 4.0
    assert told.ci95 == pytest.approx(wilson(1, 2))


def test_a_task_without_a_test_has_no_rate() -> None:
    told = summarise([Outcome(None, 1.0, 5)])
    assert (told.success_rate, told.ci95, told.successful) == (None, None, None)
    assert math.isnan(summarise([]).env_return)


def test_merged_evaluations_weigh_by_episodes() -> None:
    first = summarise([Outcome(True, 1.0, 5)] * 3)
    second = summarise([Outcome(False, 9.0, 5)])
    both = merge([first, second])
    assert both.success_rate == 0.75
    assert both.env_return == pytest.approx(3.0)
    assert both.ci95 == pytest.approx(wilson(3, 4))
