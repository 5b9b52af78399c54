"""Demonstrations of another robot are told apart before anything is stepped, where somebody would use their numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from robo_reward import cli
from robo_reward.contract_tests import moving_square
from robo_reward.data.datasets import write_dataset
from robo_reward.demonstration_sizes import check_demonstration_sizes
from robo_reward.errors import UserError
from robo_reward.line_world import LineWorld

CART = """
<mujoco model="cart">
  <worldbody>
    <camera name="top" pos="0 0 3"/>
    <body><joint name="rail" type="slide" axis="1 0 0"/><geom size=".1" mass="1"/></body>
  </worldbody>
  <actuator><motor joint="rail" ctrlrange="-1 1"/></actuator>
</mujoco>
"""


def shown(states: int, actions: int, steps: int = 12) -> Any:
    one = moving_square(0, 4)
    return replace(
        one,
        state=np.zeros((steps + 1, states), np.float32),
        action=np.zeros((steps, actions), np.float32),
        frames={"top": np.zeros((steps + 1, 64, 64, 3), np.uint8)},
        frame_steps=np.arange(steps + 1),
        success=np.arange(steps + 1) >= steps - 1,
    )


def test_only_what_somebody_reads_is_compared() -> None:
    clone, plain = SimpleNamespace(), SimpleNamespace(needs_demonstrations=False)
    none, replayed = {"replay": 0, "hollow": 0}, {"replay": 1}
    world = LineWorld()
    check_demonstration_sizes(world, [shown(2, 1)], clone, replayed, states=True)
    check_demonstration_sizes(world, [shown(5, 3)], plain, none)
    with pytest.raises(
        UserError, match=r"demonstration 1 has states of size 5, 'line' has states of size 2, and the learner would"
    ):
        check_demonstration_sizes(world, [shown(2, 1), shown(5, 1)], clone, none)
    with pytest.raises(UserError, match=r"actions of size 3, 'line' has actions of size 1.*learner=ppo"):
        check_demonstration_sizes(world, [shown(2, 3)], clone, none)
    with pytest.raises(UserError, match=r"set negatives.replay=0 and negatives.hollow=0"):
        check_demonstration_sizes(world, [shown(5, 3)], plain, replayed)
    with pytest.raises(UserError, match=r"and the reward would use them.*views"):
        check_demonstration_sizes(world, [shown(5, 3)], plain, none, states=True)


def test_train_refuses_them_before_anything_is_stepped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cart.xml").write_text(CART)
    write_dataset([shown(2, 2)], tmp_path / "data", images=True)
    words = ["env=mjcf", f"env.xml={tmp_path / 'cart.xml'}", f"data={tmp_path / 'data'}", f"run_dir={tmp_path / 'run'}"]
    assert cli.run(["train", *words, "negatives.random=1", "reward_model.stride=2", "video=false"]) == 2
    told = capsys.readouterr()
    assert "demonstration 0 has actions of size 2, 'mjcf/cart' has actions of size 1" in told.err
    assert "rollout" not in told.out
    assert not (tmp_path / "run").exists()
