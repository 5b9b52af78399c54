"""audit in worlds of one's own: what they cannot tell, show or be told is left out or named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from robo_reward import cli
from robo_reward.contracts import Needs
from robo_reward.data.datasets import write_dataset
from robo_reward.line_world import LineReward
from robo_reward.trace import Trace

CART = """<mujoco>
  <worldbody>
    <body name="cart"><joint name="slide" type="slide" axis="1 0 0"/><geom size="0.1" mass="1"/></body>
  </worldbody>
  <actuator><motor joint="slide" ctrlrange="-1 1"/></actuator>
</mujoco>
"""
REWARD = '''
import numpy as np
from robo_reward.contracts import Estimate, Needs


def far(model, data):
    return bool(data.qpos[0] > 0.05)


class Way:
    """How far the cart is on its way of 5 cm."""

    needs = Needs()

    def estimate_episode(self, trace):
        return self.of(trace.state[trace.frame_steps])

    def begin(self, first, fresh):
        return self.of(first.state)

    def estimate(self, transition):
        return self.of(transition.after.state)

    def of(self, state):
        progress = np.clip(state[:, 0] / 0.05, 0, 1).astype(np.float32)
        return Estimate(progress, 0 * progress, (progress >= 1).astype(np.float32), 0 * progress)
'''


@pytest.fixture
def cart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of an audit of a third party's reward on a third party's model, which pays nothing."""
    (tmp_path / "cart.xml").write_text(CART)
    (tmp_path / "carts.py").write_text(REWARD)
    (tmp_path / "configs" / "reward_model").mkdir(parents=True)
    (tmp_path / "configs" / "reward_model" / "way.yaml").write_text("_target_: carts.Way\n")
    monkeypatch.syspath_prepend(tmp_path)
    rows = []
    for number in range(4):
        place = np.linspace(0, 0.08 if number % 2 == 0 else 0.01, 17, dtype=np.float32) * (1 + 0.05 * number)
        state = np.stack([place, np.gradient(place)], 1).astype(np.float32)
        still = np.zeros((17, 8, 8, 3), np.uint8)
        rows.append(
            Trace(
                task="go far",
                state=state,
                action=np.zeros((16, 1), np.float32),
                frames={"front": still},
                frame_steps=np.arange(17),
                fps=10.0,
                source="demonstration",
                success=place > 0.05,
            )
        )
    write_dataset(rows, tmp_path / "data", images=True)
    words = ["audit", "--config-dir", str(tmp_path / "configs"), "reward_model=way", f"run_dir={tmp_path / 'run'}"]
    return [*words, "env=mjcf", f"env.xml={tmp_path / 'cart.xml'}", f"data={tmp_path / 'data'}"]


def test_a_world_without_a_reward_is_audited_without_the_distance_to_it(cart: list[str], tmp_path: Path) -> None:
    words = ["env.success=carts:far", "env.horizon=20", "attack.n=2", "attack.generations=1", "attack.population=4"]
    assert cli.run([*cart, *words]) == 0
    report = json.loads((tmp_path / "run" / "audit.json").read_text("utf-8"))
    assert report["attack"]["candidates"] == 6
    assert {"epic", "starc"} <= set(report["not_measured"])


def test_a_world_that_knows_no_success_attacks_nothing(
    cart: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([*cart, "env.horizon=20"]) == 0
    report = json.loads((tmp_path / "run" / "audit.json").read_text("utf-8"))
    assert report["attack"] is None
    assert "attack" in report["not_measured"]
    assert cli.run([word for word in cart if not word.startswith(("data=", "run_dir="))]) == 2
    assert "has no success test" in capsys.readouterr().err


def test_episodes_of_another_robot_are_refused_before_anything_is_priced(
    cart: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twice = CART.replace("</actuator>", '<motor joint="slide" ctrlrange="-1 1"/></actuator>')
    (tmp_path / "cart.xml").write_text(twice)
    words = ["env.success=carts:far", "env.horizon=20"]
    assert cli.run([*cart, *words]) == 2
    told = capsys.readouterr()
    assert f"episode 0 of '{tmp_path / 'data'}' has actions of size 1, " in told.err
    assert "has actions of size 2, and the attack would replay them there" in told.err
    assert "or attack=null" in told.err
    assert "to audit on" not in told.out
    assert cli.run([*cart, *words, "attack=null"]) == 0


class ReadsACorner(LineReward):
    """A reward of a view that no line shows."""

    def __init__(self) -> None:
        super().__init__()
        self.needs = Needs(views=("corner",))


def test_a_view_that_the_world_lacks_is_named_as_train_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for group, name, target in (("env", "line", "line_world.LineWorld"), ("reward_model", "corner", "")):
        (tmp_path / group).mkdir()
        whole = f"robo_reward.{target}" if target else f"{__name__}.ReadsACorner"
        (tmp_path / group / f"{name}.yaml").write_text(f"_target_: {whole}\n")
    words = ["env=line", "reward_model=corner", f"run_dir={tmp_path / 'run'}", "--config-dir", str(tmp_path)]
    assert cli.run(["audit", *words]) == 2
    assert "unknown view that the reward reads 'corner'. Known: front" in capsys.readouterr().err
