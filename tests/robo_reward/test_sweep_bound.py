"""What a sweep's adversary may do and is paid for, and what is said where it did too little."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from robo_reward.errors import UserError
from robo_reward.line_world import LineWorld
from robo_reward.pushes.patterns import Kind
from robo_reward.pushes.sweep import Curve, Point
from robo_reward.pushes.sweep_run import _adversary, _check_practice, _told
from robo_reward.report.disturbance_page import disturbance_page

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


def test_the_page_tells_of_a_worst_case_that_other_pushes_outdo() -> None:
    cfg = OmegaConf.create({"run": "r", "seed": 0, "disturbance": {"episodes": 10, "resolution": 5.0}})
    found: dict[Kind, float] = {"constant": 29.0, "worst": 71.0}
    curves = [Curve(kind, [Point(f50, 10, 5, (0.2, 0.8), 0.1, (0.0, 0.2), 0)], f50) for kind, f50 in found.items()]
    told = _told(cfg, LineWorld(1), curves)
    assert len(told["remarks"]) == 1
    assert "constant pushes fell half at 29 N" in disturbance_page(told, "robot", {})
    assert _told(cfg, LineWorld(1), curves[:1])["remarks"] == []
