"""The yamls of configs/env build their worlds through hydra, with the settings a user types."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra.utils import instantiate

HERE = Path(__file__).parent


def build(*overrides: str) -> Any:
    with hydra.initialize_config_module("robo_reward.configs", version_base=None):
        config = hydra.compose(None, [f"+{overrides[0]}", *overrides[1:]])
    return instantiate(config.env)


def test_metaworld() -> None:
    world = build("env=metaworld", "env.task=door-open-v3", "env.num_worlds=2")
    assert (world.name, world.num_worlds, world.horizon, world.fps) == ("metaworld/door-open", 2, 75, 40.0)
    assert world.view_names[0] == "corner2"
    assert world.reset(0).task == ("open the door",) * 2
    world.close()


def test_gym_with_a_camera_from_the_command_line() -> None:
    world = build("env=gym", "env.id=HalfCheetah-v5", "+env.cameras.side={pos: [0, -3, 1], track: torso}")
    assert (world.name, world.view_names, world.horizon) == ("gym/HalfCheetah-v5", ("side",), 1000)
    assert world.reset(0).views["side"].shape == (1, 64, 64, 3)
    world.close()


def test_mjcf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(HERE)])
    from slider_task import SLIDER  # type: ignore[import-not-found]

    (tmp_path / "slider.xml").write_text(SLIDER)
    world = build(
        "env=mjcf",
        f"env.xml={tmp_path / 'slider.xml'}",
        "env.cameras={front: {pos: [0, -2, 0.5], target: [0, 0, 0.1]}}",  # as docs/worlds.md writes it
        "env.success=slider_task:success",
        "env.instruction=push the block",
    )
    assert world.reset(0).task == ("push the block",)
    assert world.observe().views["front"].any()
    world.close()
