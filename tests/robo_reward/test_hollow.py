"""Hollow replays: the demonstration's own motion from other starts, of the task that is on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from robo_reward.contracts import Observation
from robo_reward.errors import UserError
from robo_reward.explorers import ReplayPolicy
from robo_reward.fitting.episodes import HOLLOW_NOISE, step_negatives
from robo_reward.line_world import LineWorld
from robo_reward.rollout import rollout
from robo_reward.trace import Trace


class Steady:
    """Goes on at one speed."""

    def __init__(self, speed: float) -> None:
        self._speed = speed

    def act(self, observation: Observation) -> Any:
        return np.full((len(observation.state), 1, 1), self._speed, np.float32)

    def reset(self, fresh: Any) -> None:
        """Nothing to forget."""

    def save(self, folder: Any) -> None:
        """Nothing to save."""


def demonstration(speed: float, task: str = "go right") -> Trace:
    return replace(next(rollout(LineWorld(1, 8), Steady(speed), 1, 0)), task=task)


def test_the_motion_is_the_demonstrations_and_the_start_is_not() -> None:
    shown = demonstration(0.5)
    made = [e.trace for e in step_negatives(LineWorld(1, 8), [shown], 0, 0, 3, (), 1, hollow=5)]
    assert [trace.source for trace in made] == ["replay"] * 5
    assert max(np.abs(trace.action - shown.action).max() for trace in made) < 6 * HOLLOW_NOISE
    assert len({float(trace.state[0, 0]) for trace in made}) == 5


def test_without_any_the_others_are_what_they_were() -> None:
    shown = [demonstration(0.5), demonstration(-0.2)]
    plain, more = (
        [e.trace.action for e in step_negatives(LineWorld(1, 8), shown, 2, 3, 3, (), 1, hollow=hollow)]
        for hollow in (0, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(plain, more[:5], strict=True))
    assert len(more) == 7


def test_of_several_tasks_the_one_that_is_on_is_replayed() -> None:
    policy = ReplayPolicy(
        [demonstration(0.9, "left"), demonstration(0.1, "right")], np.random.default_rng(0), noise=0.0, bias=0.0
    )
    state = np.zeros((6, 2), np.float32)
    tasks = ("left", "right", "left", "right", "neither", "right")
    policy.reset(np.ones(6, bool))
    found = policy.act(Observation({}, state, tasks))[:, 0, 0]
    assert found[[0, 2]].tolist() == pytest.approx([0.9, 0.9])
    assert found[[1, 3, 5]].tolist() == pytest.approx([0.1, 0.1, 0.1])
    again = policy.act(Observation({}, state, tasks))[:, 0, 0]
    assert again.tolist() == pytest.approx(found.tolist()), "an episode keeps its plan"


def test_actions_of_another_size_are_refused() -> None:
    wrong = replace(demonstration(0.5), action=np.zeros((8, 3), np.float32))
    with pytest.raises(UserError, match="hollow=0"):
        step_negatives(LineWorld(1, 8), [wrong], 0, 0, 0, (), 1, hollow=1)
