"""Settings of a disturber that cannot be: each message names the key, the value and the bound."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from pushed_point import PushedPoint, collected  # type: ignore[import-not-found]

from robo_reward.contracts import Estimate, Step, Transition
from robo_reward.errors import UserError
from robo_reward.reward_models.disturber.adversary_update import UpdateSettings
from robo_reward.reward_models.disturber.curriculum import Curriculum
from robo_reward.reward_models.disturber.learned_disturber import LearnedDisturber
from robo_reward.reward_models.disturber.multiplier import DualSettings
from robo_reward.reward_models.disturber.task_cost import TaskCost


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"bodies": ("trnk",)}, "unknown body"),
        ({"bodies": ()}, "pushes nothing"),
        ({"eta": -0.1}, "hook.eta=-0.1"),
        ({"eta": 0.0}, "hook.eta=0.0"),
        ({"constraint": "ratoi"}, "did you mean 'ratio'"),
        ({"mean_force": 2.0}, "hook.mean_force"),
        ({"reward_bound": 0.0}, "hook.reward_bound"),
        ({"eta": math.nan}, "hook.eta=nan"),
        ({"fall_steps": -1.0}, "hook.fall_steps"),
        ({"fall_steps": math.nan}, "hook.fall_steps=nan"),
        ({"fall_steps": math.inf}, "hook.fall_steps=inf"),
        ({"lever": math.nan}, "hook.lever=nan"),
        ({"lever": -1.0}, "hook.lever"),
        ({"unpushed": 1.0}, "hook.unpushed=1.0"),
        ({"unpushed": 0.9}, "hook.unpushed=0.9 leaves none"),
        ({"unpushed": 0.25}, r"of env\.num_worlds=1 is no world: set env\.num_worlds=3"),
        ({"max_nan_resets": -1}, "hook.max_nan_resets"),
    ],
)
def test_bad_settings_say_what_is_wrong(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        given: dict[str, Any] = {"curriculum": Curriculum(10.0), "bodies": ("point",), **settings}
        LearnedDisturber(**given).bind(PushedPoint(), "reward")


@pytest.mark.parametrize("gamma", [1.0, 1.5, -0.1, math.nan])
@pytest.mark.parametrize("fall_steps", [None, 5.0])
def test_a_discount_that_would_scale_costs_to_nothing_is_refused(gamma: float, fall_steps: float | None) -> None:
    world = PushedPoint()
    disturber = LearnedDisturber(Curriculum(10.0), bodies=("point",), fall_steps=fall_steps)
    disturber.bind(world, "reward")
    with pytest.raises(UserError, match=rf"learner\.gamma={gamma} must be 0 or more and below 1"):
        disturber.on_rollout(collected(np.zeros((0, 1), np.float32), gamma))


@pytest.mark.parametrize("bound", [0.0, -1.0, math.nan, math.inf])
def test_a_world_whose_task_cannot_pay_is_refused(bound: float) -> None:
    world = PushedPoint()
    world.task_reward_bound = bound
    with pytest.raises(UserError, match=f"task_reward_bound={bound}: .* must be above 0"):
        LearnedDisturber(Curriculum(10.0), bodies=("point",)).bind(world, "reward")
    LearnedDisturber(Curriculum(10.0), bodies=("point",), reward_bound=1.0).bind(world, "reward")


class Naming(PushedPoint):  # type: ignore[misc]
    """Says which world blew up."""

    broken = np.array([False, False, True])


@pytest.mark.parametrize(("kind", "costs"), [(PushedPoint, [1.0, 0.0, 0.0]), (Naming, [1.0, 1.0, 0.0])])
def test_what_blew_up_costs_nothing_whatever_the_policy_was_paid(kind: type[PushedPoint], costs: list[float]) -> None:
    world = kind(num_worlds=3)
    cost = TaskCost(reward_bound=1.0, fall_steps=None)
    cost.bind(world, "none")
    seen, zeros = world.observe(), np.zeros(3, np.float32)
    # the second reached its time limit, the third blew up; a potential pays less than nothing
    truncated = np.array([False, True, True])
    transition = Transition(seen, np.zeros((3, 1), np.float32), seen, zeros, np.zeros(3, bool), truncated)
    step = Step(transition, Estimate(zeros, zeros, zeros, zeros), np.array([0.0, 0.0, -0.5], np.float32))
    world.nan_resets += 1
    found, broken = cost.of(step)
    assert found.tolist() == costs
    assert broken.tolist() == [value == 0.0 for value in costs]
    if kind is PushedPoint:
        assert not cost.of(step)[1].any()


def test_bad_curricula_and_updates_say_what_is_wrong() -> None:
    wrong: dict[str, Any]
    for wrong in ({"limit": 0.0}, {"limit": -5.0}, {"limit": 1.0, "first": 0.0}, {"limit": 1.0, "warmup": -1}):
        with pytest.raises(UserError, match=r"hook\.curriculum"):
            Curriculum(**wrong)
    for settings in (
        {"clip": 0.0},
        {"epochs": 0},
        {"gae_lambda": 2.0},
        {"hold": 0},
        {"entropy": math.nan},
        {"clip": math.nan},
    ):
        with pytest.raises(UserError, match=r"hook\.update"):
            UpdateSettings(**settings)  # type: ignore[arg-type]
    for dual in ({"start": 20.0}, {"rate": 0.0}, {"rate": math.nan}, {"most": math.inf}, {"start": math.nan}):
        with pytest.raises(UserError, match=r"hook\.dual"):
            DualSettings(**dual)
