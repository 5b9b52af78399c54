"""A resumed run goes on counting blow-ups and what was paid above the bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pushed_point import PushedPoint  # type: ignore[import-not-found]

from robo_reward.contracts import Estimate, Step
from robo_reward.errors import UserError
from robo_reward.reward_models.disturber.curriculum import Curriculum
from robo_reward.reward_models.disturber.learned_disturber import LearnedDisturber
from robo_reward.reward_models.disturber.random_pushes import RandomPushes


def pushed_once(disturber: Any, state: dict[str, Any] | None) -> Any:
    """The disturber after a step in which all 8 worlds blew up, in a run that goes on from ``state``."""
    world, zeros = PushedPoint(num_worlds=8, breaks=-1.0), np.zeros(8, np.float32)
    disturber.bind(world, "reward")
    disturber.begin(0)
    if state is not None:
        disturber.restore(state)
    world.reset(0)
    world.apply_force(disturber.force(world.observe()))
    transition = world.step(np.zeros((8, 1), np.float32))
    disturber.on_step(Step(transition, Estimate(zeros, zeros, zeros, zeros), transition.env_reward))
    return disturber


@pytest.mark.parametrize("kind", [LearnedDisturber, RandomPushes])
def test_blow_ups(kind: Any) -> None:
    def made() -> Any:
        return kind(Curriculum(10.0), bodies=("point",), max_nan_resets=15)

    half = pushed_once(made(), None).dump()
    with pytest.raises(UserError, match=r"blew up 16 times .*max_nan_resets=15"):
        pushed_once(made(), half)


def test_pay_above_the_bound() -> None:
    half = pushed_once(LearnedDisturber(Curriculum(10.0), bodies=("point",)), None)
    half.cost.above = 5
    assert pushed_once(LearnedDisturber(Curriculum(10.0), bodies=("point",)), half.dump()).cost.above == 5
