"""A sweep's adversary in a world that does not say what its task can pay: the run's own bound, or a message."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from robo_reward.errors import UserError
from robo_reward.pushes.sweep_run import _adversary, _check_practice

sys.path.append(str(Path(__file__).parent.parent / "reward_models" / "disturber"))
from pushed_point import PushedPoint  # type: ignore[import-not-found]

HOME = "robo_reward.reward_models.disturber"
PAID: dict[str, Any] = {"used_env_reward": True, "transforms": []}


def bound(own: float | None, world_says: float | None, source: dict[str, Any]) -> float:
    curriculum = {"_target_": f"{HOME}.curriculum.Curriculum", "limit": 5.0}
    settings = {"_target_": f"{HOME}.learned_disturber.LearnedDisturber", "curriculum": curriculum, "reward_bound": own}
    cfg = OmegaConf.create({"disturbance": {"bodies": "point", "adversary": settings}})
    world = PushedPoint()
    world.task_reward_bound = world_says
    adversary: Any = _adversary(cfg, OmegaConf.create({"hook": {"reward_bound": 20}}), source, world)
    return float(adversary.cost.bound)


def test_it_is_what_the_yaml_says_then_the_world_then_the_run() -> None:
    assert bound(7.0, None, PAID) == 7.0
    assert bound(None, 3.0, PAID) == 3.0
    assert bound(None, None, PAID) == 20.0
    with pytest.raises(UserError, match=r"disturbance\.adversary\.reward_bound"):
        bound(None, None, {**PAID, "used_env_reward": False})


def test_the_worst_case_pushes_every_world() -> None:
    cfg = OmegaConf.create({"disturbance": {"adversary": {"unpushed": 0.25}}})
    with pytest.raises(UserError, match=r"disturbance\.adversary\.unpushed=0\.25: the worst case pushes every world"):
        _check_practice(cfg, OmegaConf.create({}), {})
