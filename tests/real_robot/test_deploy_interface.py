"""A policy that was made for another arm, other units or cameras is refused; goals are the simulator's own."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
from deployable import ENV, make_run  # type: ignore[import-not-found]

from robo_reward.build import build, load_policy
from robo_reward.errors import UserError
from robo_reward.real_robot.deploy.goals import GoalMaker
from robo_reward.real_robot.deploy.interface import PolicyInterface, read_interface
from robo_reward.real_robot.deploy.preflight import check_finite, check_robot, rehearse


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("train") / "run")


@pytest.fixture(scope="module")
def interface(run: Path) -> PolicyInterface:
    return read_interface(run)


def robot(joints: tuple[str, ...], use_degrees: bool = True) -> Any:
    return SimpleNamespace(action_features=dict.fromkeys(joints, float), inner=SimpleNamespace(use_degrees=use_degrees))


def test_the_interface_of_a_run_is_that_of_its_world(interface: PolicyInterface) -> None:
    world = build(ENV)
    steps = world._vec.envs[0].unwrapped.steps
    assert (interface.speed, interface.fps) == (steps.speed, steps.fps)
    assert interface.low == pytest.approx(steps.low)
    assert interface.high == pytest.approx(steps.high)
    assert interface.joints == world.state_names
    assert (interface.fps, interface.views, interface.height, interface.width) == (30.0, ("front", "wrist"), 48, 64)
    np.testing.assert_array_equal(interface.references["wrist"], world.reset(0).views["wrist"][0])
    assert interface.horizon == 120
    world.close()


def test_a_saved_interface_is_read_back_and_stands_above_the_world(run: Path, interface: PolicyInterface) -> None:
    replace(interface, task="another").save(run / "policy")
    again = read_interface(run)
    assert replace(again, task=interface.task) == interface
    assert again.task == "another"
    damaged = json.loads((run / "policy" / "interface.json").read_text())
    (run / "policy" / "interface.json").write_text(json.dumps(damaged | {"speed": [1.0]}))
    with pytest.raises(UserError, match="6 joints need as many finite numbers in 'speed'"):
        read_interface(run)
    (run / "policy" / "interface.json").unlink()


@pytest.mark.parametrize(
    ("env", "said"),
    [({"features": "places"}, "no arm knows of itself"), ({"_target_": "os.system"}, "refused")],
)
def test_worlds_that_no_arm_is(tmp_path: Path, env: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_interface(make_run(tmp_path / "run", **env))


def test_other_joints_another_order_other_units(interface: PolicyInterface) -> None:
    check_robot(interface, robot(interface.joints))
    with pytest.raises(UserError, match="the same joints in another order"):
        check_robot(interface, robot(interface.joints[::-1]))
    with pytest.raises(UserError, match="other joints"):
        check_robot(interface, robot((*interface.joints, "tail.pos")))
    with pytest.raises(UserError, match="use_degrees=true"):
        check_robot(interface, robot(interface.joints, use_degrees=False))
    with pytest.raises(UserError, match=r"not with \['top'\]"):
        interface.only(("front", "top"))


def test_weights_that_are_not_finite(tmp_path: Path) -> None:
    fine = make_run(tmp_path / "fine")
    check_finite(fine / "policy")
    broken = make_run(tmp_path / "broken", action=(float("inf"), 0, 0, 0, 0, 0))
    with pytest.raises(UserError, match="not finite"):
        check_finite(broken / "policy")


def test_a_rehearsal_finds_a_policy_that_cannot_act(run: Path, interface: PolicyInterface) -> None:
    policy = load_policy(run / "policy")
    rehearse(policy, interface)
    fewer = replace(
        interface, joints=interface.joints[:5], low=interface.low[:5], high=interface.high[:5],
        speed=interface.speed[:5], start=None,
    )  # fmt: skip
    with pytest.raises(UserError, match="cannot act on 5 joints"):
        rehearse(policy, fewer)


def test_steps_move_the_last_goal_which_runs_ahead_of_the_arm_only_as_far_as_it_brakes(
    interface: PolicyInterface,
) -> None:
    maker = GoalMaker(interface, np.full(6, 300.0))
    # 60^2 / (2 * 300) = 6 degrees to brake from full speed, and two decisions of 2 degrees
    assert maker.leash[0] == pytest.approx(6 + 4)
    emitted = np.zeros(6)
    forward = np.array([1, 0, 0, 0, 0, 0], np.float32)
    goals = [maker.goal(forward, emitted)[0] for _ in range(8)]
    assert goals[:3] == pytest.approx([2, 4, 6]), "2 degrees a decision: 60 a second at 30 Hz"
    assert goals[-1] == pytest.approx(12), "an arm that is held back is not run away from"
    back = maker.goal(-forward, emitted)[0]
    assert back == pytest.approx(8), "so it turns back at once"
    maker.begin()
    assert maker.goal(forward, emitted + 20)[0] == pytest.approx(22), "begins where the arm is sent"
    assert maker.named(np.array([0.0, 1, 2, 3, 4, 5]))["gripper"] == 5.0


def test_goals_are_passed_on_as_they_are(interface: PolicyInterface) -> None:
    maker = GoalMaker(replace(interface, control="goals"), np.full(6, 300.0))
    np.testing.assert_array_equal(maker.goal(np.full(6, 70, np.float32), np.zeros(6)), np.full(6, 70.0))
