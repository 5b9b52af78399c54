"""Verdicts are compared task by task: an unchanged policy is no worse because harder tasks are on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest
from told_hook import Counting, Told

from robo_reward.adaptation import Adaptation, BlindGround, Bounds, blinded
from robo_reward.contracts import Budget
from robo_reward.line_world import LineReward, LineWorld
from robo_reward.reward_models.transforms.level import Level
from robo_reward.reward_stack import RewardStack
from robo_reward.session import Session
from robo_reward.verdicts import Verdicts, compared, share

Episode = tuple[str, bool]


class Player(Counting):
    """Plays what it is told to, round by round."""

    def __init__(self, rounds: Sequence[Sequence[Episode]]) -> None:
        self.rounds = list(rounds)

    def adapt(self, ground: Any) -> Mapping[str, float]:
        self.play(ground, self.rounds.pop(0))
        return {}


def adaptation_of(played: Sequence[Sequence[Episode]], **bounds: Any) -> tuple[Adaptation, BlindGround]:
    session = Session(LineWorld(1, 10), RewardStack(LineReward(), [Level()]), [], Budget(), cast(Any, None), 0)
    adaptation = Adaptation(Player(played), Bounds(**bounds), Told())
    ground = BlindGround(session, blinded(session.world))
    ground.heard.append(adaptation.hear)
    return adaptation, ground


EASY = (8, 9, 0, 1)


def groups(numbers: range, solved: Sequence[int] = EASY) -> list[Episode]:
    """Eight episodes of each number; ten tasks take turns."""
    return [(f"task {k % 10}", k % 10 in solved) for k in numbers for _ in range(8)]


def test_an_unchanged_policy_is_not_rolled_back_for_the_tasks_that_are_on() -> None:
    """Ten tasks in turn, of which it solves four, always: the last 32 episodes of a round are all easy or none."""
    adaptation, ground = adaptation_of([groups(range(k, k + 12)) for k in range(0, 120, 12)], rounds=10)
    rows = [adaptation.round(ground) for _ in range(10)]
    assert [(row["judged"], row["rolled_back"]) for row in rows] == [(pytest.approx(0.4), 0.0)] * 10
    assert adaptation.ended == "all rounds done"


def test_short_rounds_are_weighed_too() -> None:
    """One group a round: tasks that are new say nothing against the policy."""
    adaptation, ground = adaptation_of([groups(range(k, k + 1)) for k in range(8, 38)], rounds=30)
    rows = [adaptation.round(ground) for _ in range(30)]
    assert all("rolled_back" not in row for row in rows[:3]), "24 episodes are less than the window"
    assert [row["rolled_back"] for row in rows[3:]] == [0.0] * 27


def test_what_was_solved_and_is_not_any_more_goes_back() -> None:
    before, after = groups(range(10)), groups(range(10), solved=(0,))
    adaptation, ground = adaptation_of([before, before, after], rounds=3)
    rows = [adaptation.round(ground) for _ in range(3)]
    assert [row["rolled_back"] for row in rows] == [0, 0, 1]
    assert adaptation.hook.state() == {"weight": 1}


@pytest.mark.parametrize(("collapse", "found"), [(5, 12), (15, 17)])
def test_weights_from_before_a_collapse_are_put_back(collapse: int, found: int) -> None:
    """One task a round, ten take turns: who fails new tasks too is told when the first ones come again."""
    rounds = [groups(range(k, k + 1), range(10) if k < collapse else ()) for k in range(30)]
    adaptation, ground = adaptation_of(rounds, rounds=30)
    rows = [adaptation.round(ground) for _ in range(found + 1)]
    assert [k for k, row in enumerate(rows) if row.get("rolled_back")] == [found]
    assert adaptation.hook.state()["weight"] < collapse


def test_rounds_without_a_verdict_change_nothing() -> None:
    """As of a stream, whose episodes end in one round of eight, all at once."""
    ended = [groups(range(1), range(10)) * 4 if k == 7 else [] for k in range(15)]
    adaptation, ground = adaptation_of([*ended, groups(range(1), ()) * 4], rounds=16)
    rows = [adaptation.round(ground) for _ in range(16)]
    assert [k for k, row in enumerate(rows) if row.get("rolled_back")] == [15]
    assert adaptation.hook.state() == {"weight": 7}


def test_a_single_episode_says_little() -> None:
    solved = [("a", True)] * 31 + [("b", True)]
    adaptation, ground = adaptation_of([solved, [("b", False)], [("a", True)] * 8], rounds=3)
    assert [adaptation.round(ground)["rolled_back"] for _ in range(3)] == [0, 0, 0]


def test_a_window_holds_equally_many_of_each_task() -> None:
    verdicts = Verdicts(4)
    for good in (True, True, True, False, False):
        verdicts.add("a", good)
    assert (verdicts.last(), verdicts.full) == ({"a": [1, 1, 0, 0]}, True)
    verdicts.add("b", True)
    assert verdicts.last() == {"a": [0, 0], "b": [1]}
    assert share(verdicts.last()) == 0.5
    assert share({}) is None


def test_only_tasks_and_episodes_that_both_have_are_compared() -> None:
    assert compared({"a": [1, 0], "b": [1]}, {"a": [0, 0, 1, 0], "c": [0]}) == (0.5, 0.5)
    assert compared({"a": [1]}, {"b": [1]}) is None


def test_the_best_weights_survive_a_resume_and_an_older_state_loads() -> None:
    good, bad = groups(range(1)) * 4, groups(range(1), solved=()) * 4
    adaptation, ground = adaptation_of([good], rounds=3)
    adaptation.round(ground)
    again, ground = adaptation_of([bad], rounds=3)
    again.load(adaptation.state())
    assert (again.judged, again.done) == (1.0, 1)
    assert again.round(ground)["rolled_back"] == 1
    assert again.hook.state() == {"weight": 0}
    older, _ = adaptation_of([], rounds=3)
    older.load({"hook": {"weight": 5}, "verdicts": [1.0, 0.0], "counts": [2, 1], "best": [0.5, {"weight": 4}]})
    assert (older.done, older.returns, older.judged, older.hook.state()) == (2, 1, None, {"weight": 5})
