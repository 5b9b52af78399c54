"""The simulated person at an emulated arm: when it takes over, what it calls done, and that it keeps out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from robo_reward.errors import UserError
from robo_reward.real_robot.arm_client import ArmView
from robo_reward.real_robot.deploy.hand import Say, Wish
from robo_reward.real_robot.deploy.operator import DONE, OperatorPlan, ScriptedOperator

FPS = 10.0
JOINTS = ("a.pos", "b.pos")
VIEW = ArmView(0.0, {"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0}, "RUN", "", False, False, "", "", {})


class Twin:
    """Says what is left and whether it is done, one value a look; its expert goes one further than the last goal."""

    def __init__(self, left: Iterator[float], done_after: int = 10**6) -> None:
        self.left, self.done_after, self.looks = left, done_after, 0
        self.fresh: list[bool] = []

    def ask(self, what: str, **more: Any) -> Any:
        if what == "look":
            self.looks += 1
            return {"left": next(self.left), "success": self.looks > self.done_after}
        assert what == "expert_goal"
        self.fresh.append(more["fresh"])
        return [value + 1 for value in more["last"]]


def closer(step: float) -> Iterator[float]:
    left = 1.0
    while True:
        yield left
        left -= step


def operator(twin: Any, **plan: Any) -> ScriptedOperator:
    given = {"patience": 0.4, "delay": 0.1, "gain": 0.01, "hold": 0.2, "most": 1.0}
    return ScriptedOperator(twin, JOINTS, FPS, OperatorPlan(**{**given, **plan}))


def wishes(made: ScriptedOperator, count: int) -> list[Wish]:
    return [made.wish(VIEW) for _ in range(count)]


def test_it_looks_on_while_the_arm_gets_nearer() -> None:
    made = operator(Twin(closer(0.02)))
    made.begin("practice", 0)
    assert {wish.say for wish in wishes(made, 30)} == {Say.NOTHING}


def test_it_takes_over_once_nothing_comes_of_it_and_says_when_it_is_done() -> None:
    twin = Twin(closer(0.0), done_after=8)
    made = operator(twin)
    made.begin("practice", 0)
    said = wishes(made, 11)
    assert [wish.say for wish in said[:5]] == [Say.NOTHING] * 4 + [Say.GOAL], "0.4 s of patience and 0.1 s to react"
    assert said[4].goal == pytest.approx(np.array([4.0, 5.0])), "from the goal that is on the wire"
    assert [wish.done for wish in said[4:10]] == [False] * 4 + [True] * 2
    assert (said[10].say, said[10].reason) == (Say.END, DONE), "done for more than 0.2 s"
    assert twin.fresh == [True, *[False] * 5]


def test_it_gives_up_at_last() -> None:
    made = operator(Twin(closer(0.0)), most=0.5)
    made.begin("practice", 0)
    assert wishes(made, 10)[-1].say is Say.END


def test_who_led_in_vain_until_time_was_up_puts_things_back_and_who_got_it_done_does_not() -> None:
    vain, done, alone = (
        operator(Twin(closer(0.0))),
        operator(Twin(closer(0.0), done_after=8)),
        operator(Twin(closer(0.02))),
    )
    for made in (vain, done, alone):
        made.begin("practice", 0)
        wishes(made, 10)  # 1 s: the first leads since 0.5 s and may for 0.5 s more
    assert (vain.gave_up, done.gave_up, alone.gave_up) == (True, False, False)
    vain.begin("practice", 1)
    assert not vain.gave_up


def test_it_leads_all_of_a_demonstration_and_none_of_an_evaluation() -> None:
    twin = Twin(closer(0.0))
    made = operator(twin)
    made.begin("demonstration", 0)
    assert made.wish(VIEW).say is Say.GOAL
    made.begin("evaluation", 0)
    looks = twin.looks
    assert {wish.say for wish in wishes(made, 20)} == {Say.NOTHING}
    assert twin.looks == looks, "it does not even look"


@pytest.mark.parametrize(("every", "there"), [(1, [True] * 4), (2, [True, False] * 2), (0, [False] * 4)])
def test_it_is_there_in_some_episodes_only(every: int, there: list[bool]) -> None:
    made = operator(Twin(closer(0.0)), every=every)
    found = []
    for number in range(4):
        made.begin("practice", number)
        found.append(any(wish.say is Say.GOAL for wish in wishes(made, 8)))
    assert found == there


def test_it_sits_at_emulated_arms_only() -> None:
    with pytest.raises(UserError, match="emulated arm only"):
        operator(None)
    with pytest.raises(UserError, match="every=-1"):
        OperatorPlan(every=-1)
