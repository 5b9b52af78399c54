"""Which start a group is played from: the tasks' turn, or those whose groups lately told something."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from line_env import make_policy, make_session  # type: ignore[import-not-found]

from robo_reward.line_world import LineWorld
from robo_reward.playground import Playground
from robo_reward.policies.vla_learning.clipped_update import UpdateSettings
from robo_reward.policies.vla_learning.flow_sde import FlowNoise
from robo_reward.policies.vla_learning.group_tuning import GroupSettings, GroupTuner
from robo_reward.policies.vla_learning.task_focus import RECENT, TaskFocus


def test_without_focus_starts_come_in_their_order() -> None:
    focus = TaskFocus(False)
    focus.hear(0, 3, True)
    assert [focus.next(number, 3) for number in range(5)] == [0, 1, 2, 3, 4]


def test_weights_by_hand() -> None:
    focus = TaskFocus(True)
    assert focus.weight(0) == 1 / 2, "nothing is known"
    for told in (True, True, False):
        focus.hear(4, 3, told)  # start 4 is of task 1
    assert (focus.weight(0), focus.weight(1)) == (1 / 2, 3 / 5)
    for _ in range(RECENT):
        focus.hear(1, 3, False)
    assert focus.weight(1) == 1 / (RECENT + 2), "what was told long ago is forgotten"


def test_a_task_that_tells_twice_as_often_is_visited_twice_as_often() -> None:
    focus = TaskFocus(True)
    for _ in range(4):
        focus.hear(0, 2, True)  # 5/6
        focus.hear(1, 2, False)  # 1/6
    visits = Counter(focus.next(number, 2) % 2 for number in range(60))
    assert visits == {0: 50, 1: 10}


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=40), st.integers(1, 40))
def test_no_start_is_given_twice_and_no_task_is_left_alone(heard: list[tuple[int, bool]], rounds: int) -> None:
    focus = TaskFocus(True)
    for task, told in heard:
        focus.hear(task, 5, told)
    starts = [focus.next(number, 5) for number in range(10 * rounds)]
    assert len(set(starts)) == len(starts)
    # the least weight is 1/10, the others at most 9/10 each
    least = sum(focus.weight(task) for task in range(5)) / min(focus.weight(task) for task in range(5))
    counts = Counter(start % 5 for start in starts)
    assert all(counts[task] >= 10 * rounds / least - 5 for task in range(5))
    for task in range(5):
        assert sorted(s for s in starts if s % 5 == task) == [task + 5 * k for k in range(counts[task])]


def test_a_resumed_focus_goes_on_as_it_would_have() -> None:
    one, two = TaskFocus(True), TaskFocus(True)
    for number in range(7):
        one.hear(one.next(number, 3), 3, number % 2 == 0)
    two.load(one.state())
    assert [one.next(n, 3) for n in range(9)] == [two.next(n, 3) for n in range(9)]


class TwoTasks(LineWorld):
    """Episodes of the second task tell nothing: all of them begin, and stay, at one place."""

    tasks: tuple[str, ...] = ("go right", "stand still")

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.begun: list[int] = []

    def begin_at(self, number: int) -> None:
        """Remembered."""
        self.begun.append(number)


def test_a_tuner_plays_more_of_what_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    import robo_reward.policies.vla_learning.group_tuning as module

    session = make_session()
    session.world = world = TwoTasks(4, 10)
    ground = Playground(session)
    # groups of the second task are all alike
    real = module.EpisodePricer.price

    def price(self: Any, groups: Any) -> Any:
        rewards, traces = real(self, groups)
        begun = world.begun[-len(groups) :]
        return [r if n % 2 == 0 else 0 * r for r, n in zip(rewards, begun, strict=True)], traces

    monkeypatch.setattr(module.EpisodePricer, "price", price)
    groups = GroupSettings(groups=8, size=4, most=8, min_spread=0.01, focus=True)
    tuner = GroupTuner(make_policy(), groups, UpdateSettings(lr=1e-4, way="imitate", batch=8, epochs=1), FlowNoise(), 0)
    first, second = tuner.round(ground), tuner.round(ground)
    assert [n % 2 for n in world.begun[:8]].count(1) == 4
    assert [n % 2 for n in world.begun[8:]].count(1) <= 2
    assert second["groups"] > first["groups"]
    assert len(set(world.begun)) == 16
    again = GroupTuner(make_policy(), groups, tuner.update.settings, FlowNoise(), 0)
    again.load(tuner.state())
    assert again.focus.state() == tuner.focus.state()
    heard = tuner.focus.state()
    tuner.go_back(again.state())
    assert tuner.focus.state() == heard
