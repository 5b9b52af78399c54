"""Every yaml of the hook group that pushes builds, and what it builds keeps the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
from omegaconf import open_dict
from pushed_point import collected  # type: ignore[import-not-found]

from robo_reward.build import build
from robo_reward.contracts import Estimate, Step
from robo_reward.pushes.forces import Disturber, disturbs

CONFIGS = Path(hydra.utils.get_object("robo_reward.configs").__file__).parent


def compose(*overrides: str) -> Any:
    with hydra.initialize_config_module("robo_reward.configs", version_base="1.3"):
        return hydra.compose("train", list(overrides))


def pushing() -> list[str]:
    names = sorted(path.stem for path in (CONFIGS / "hook").glob("*.yaml"))
    return [name for name in names if disturbs(compose(f"hook={name}").hook)]


def test_the_hooks_that_push_are_those() -> None:
    assert {"disturber", "force_bounded", "random_pushes"} <= set(pushing())


@pytest.mark.parametrize("name", pushing())
def test_disturbers(name: str) -> None:
    """Forces of the world's shape within the bound; what they tell is finite; their state goes round."""
    config = compose("env=quadruped", "env.num_worlds=3", "env.oracle=reward", f"hook={name}")
    with open_dict(config):
        config.hook.curriculum.warmup = config.hook.curriculum.ramp = 0
    world, disturber = build(config.env), build(config.hook)
    assert isinstance(disturber, Disturber)
    disturber.bind(world, "reward")
    disturber.begin(0)
    world.reset(0)
    for _ in range(4):
        force = disturber.force(world.observe())
        assert force.shape == (3, len(world.bodies), 6)
        assert (np.linalg.norm(force[:, 0], axis=1) <= config.hook.curriculum.limit).all()
        world.apply_force(force)
        transition = world.step(np.zeros((3, 12), np.float32))
        disturber.on_step(Step(transition, Estimate(*[np.zeros(3, np.float32)] * 4), transition.env_reward))
    assert all(
        np.isfinite(value) for value in disturber.on_rollout(collected(np.zeros((4, 3), np.float32), 0.99)).values()
    )
    again = build(config.hook)
    again.bind(world, "reward")
    again.restore(disturber.dump())
    assert again.steps == disturber.steps == 12
    world.close()
