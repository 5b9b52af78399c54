"""The beat and the schedule of actions under a clock of the test's own: late is dropped, nothing comes in a burst."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from robo_reward.errors import UserError
from robo_reward.real_robot.deploy.metronome import Metronome
from robo_reward.real_robot.deploy.schedule import ActionSchedule


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def metronome(clock: Clock) -> Metronome:
    beat = Metronome(10.0, clock, clock.sleep)
    beat.begin()
    return beat


def chunk(first: float, length: int = 3) -> NDArray[np.float32]:
    """(K, 1): first, first + 1, ..."""
    return np.arange(first, first + length, dtype=np.float32)[:, None]


def test_a_loop_in_time_gets_each_period_at_its_time() -> None:
    clock = Clock()
    beat = metronome(clock)
    starts = []
    for _ in range(4):
        period = beat.wait()
        starts.append((period, round(clock.now - 100, 6)))
        clock.now += 0.03
    assert starts == [(0, 0.0), (1, 0.1), (2, 0.2), (3, 0.3)]
    assert beat.skipped == 0
    assert beat.ends(3) == pytest.approx(100.4)


def test_a_late_loop_skips_periods_and_does_not_catch_up() -> None:
    clock = Clock()
    beat = metronome(clock)
    assert beat.wait() == 0
    clock.now += 0.35  # into period 3
    assert beat.wait() == 3
    assert beat.skipped == 2
    assert beat.lateness[-1] == pytest.approx(0.05)
    assert beat.wait() == 4, "then it waits for the next beat again"
    assert clock.now == pytest.approx(100.4)


def test_each_action_is_for_its_period_and_late_ones_are_dropped() -> None:
    plan = ActionSchedule(horizon=3)
    plan.offer(chunk(0), period=5, observed_at=1.0, now=6)  # the one for 5 came too late
    assert plan.late == 1
    due = plan.due(6)
    assert due is not None
    assert due.action == [1.0]
    assert due.observed_at == 1.0
    assert plan.due(6) is None, "never twice"
    assert plan.due(8) is None, "7 was skipped: its action is not made up for"
    assert plan.late == 2


def test_a_newer_chunk_decides_and_an_older_or_repeated_one_is_refused() -> None:
    plan = ActionSchedule(horizon=3)
    plan.offer(chunk(0), 0, 1.0, now=0)
    plan.offer(chunk(10), 1, 1.1, now=1)
    assert plan.replaced == 2
    plan.offer(chunk(20), 0, 1.0, now=1)
    plan.offer(chunk(20), 1, 1.1, now=1)
    assert plan.refused == 2
    assert [float(due.action[0]) for due in map(plan.due, (1, 2, 3)) if due] == [10.0, 11.0, 12.0]


def test_no_more_of_a_chunk_than_the_horizon_and_nothing_of_what_was_thought_before_a_pause() -> None:
    plan = ActionSchedule(horizon=2)
    plan.offer(chunk(0, 50), 0, 1.0, now=0)
    assert plan.left(0) == 1
    plan.forget_before(4)
    assert plan.due(1) is None
    plan.offer(chunk(0), 3, 1.0, now=4)
    assert plan.refused == 1
    plan.offer(chunk(7), 4, 1.0, now=4)
    assert plan.due(4) is not None
    with pytest.raises(UserError, match="horizon=0"):
        ActionSchedule(0)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 5), st.integers(1, 8)), max_size=40))
def test_whatever_comes_whenever_a_period_gets_one_action_that_was_meant_for_it(
    offers: list[tuple[int, int, int]],
) -> None:
    plan = ActionSchedule(horizon=5)
    now, newest = 0, -1
    for period, ahead, length in offers:
        plan.offer(np.array([[100.0 * period + k] for k in range(length)], np.float32), period, 0.0, now)
        newest = max(newest, period)
        due = plan.due(now)
        if due is not None:
            answered, k = divmod(int(due.action[0]), 100)
            assert answered + k == now
            assert k < 5
        assert plan.due(now) is None
        now += ahead
