"""Limits and tolerances that make no sense are refused: what is compared with NaN would never be found wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_reward import cli
from robo_reward.errors import UserError
from robo_reward.real_robot.deploy.camera_watch import CameraPlan
from robo_reward.real_robot.deploy.loop import LoopPlan
from robo_reward.real_robot.guard import CommandPlan
from robo_reward.real_robot.limits import LimitPlan, LimitSettings
from robo_reward.real_robot.mujoco_workspace import WorkspacePlan
from robo_reward.real_robot.watches import WatchPlan

NAN, INF = float("nan"), float("inf")
RANGES = np.array([[-100.0, 100.0]])


@pytest.mark.parametrize("name", ["temperature", "current", "current_time", "tracking", "tracking_time", "fastest"])
@pytest.mark.parametrize("value", [NAN, INF, 0.0, -1.0])
def test_a_watch_is_never_off_without_a_word(name: str, value: float) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(UserError, match=f"watches.{name}="):
        WatchPlan(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"outside": NAN},
        {"outside": -1.0},
        {"reading_age": NAN},
        {"bus_lost": INF},
        {"voltage": (NAN, 14.0)},
        {"voltage": (14.0, 6.0)},
    ],
)
def test_watches(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        WatchPlan(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"timeout": NAN},
        {"timeout": -0.1},
        {"timeout": INF, "observation_age": INF},
        {"observation_age": NAN},
        {"gentle_time": NAN},
        {"gentle_time": -1.0},
        {"gentle_speed": NAN},
        {"gentle_speed": 2.0},
    ],
)
def test_commands(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        CommandPlan(**settings)


@pytest.mark.parametrize(
    "plan",
    [
        LimitPlan(velocity=NAN),
        LimitPlan(velocity=-60.0),
        LimitPlan(velocity=INF),
        LimitPlan(acceleration=0.0),
        LimitPlan(margin=NAN),
        LimitPlan(margin=-5.0),
        LimitPlan(margin=100.0),
        LimitPlan(joints={"lift": LimitSettings(lower=NAN)}),
        LimitPlan(joints={"lift": LimitSettings(upper=INF)}),
        LimitPlan(joints={"lift": LimitSettings(lower=30.0, upper=-30.0)}),
        LimitPlan(joints={"tail": LimitSettings(velocity=10.0)}),
    ],
)
def test_limits(plan: LimitPlan) -> None:
    with pytest.raises(UserError):
        plan.limits(["lift"], RANGES)


@pytest.mark.parametrize("share", [NAN, 0.0, 1.5, -1.0])
def test_torque(share: float) -> None:
    with pytest.raises(UserError, match=r"limits\.torque"):
        LimitPlan(torque=share).torques(["lift"])


@pytest.mark.parametrize("settings", [{"speed": NAN}, {"clearance": -1.0}, {"low": (NAN, 0.0, 0.0)}])
def test_workspace(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        WorkspacePlan("arm.xml", **settings)


@pytest.mark.parametrize("name", ["seconds", "joints_age", "patience"])
@pytest.mark.parametrize("value", [NAN, INF, 0.0, -1.0])
def test_the_loop(name: str, value: float) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(UserError, match=f"{name}="):
        LoopPlan(**settings)


@pytest.mark.parametrize("name", ["age_periods", "frozen_time", "frozen_move", "dark", "swap_margin"])
def test_cameras(name: str) -> None:
    settings: dict[str, Any] = {name: NAN}
    with pytest.raises(UserError, match=f"{name}=nan"):
        CameraPlan(**settings)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("seconds=.nan", "seconds=.nan must be a number"),
        ("seconds=nan", "seconds=nan must be above 0"),
        ("seconds=-1", "seconds=-1 must be above 0"),
        ("episodes=many", "episodes=many must be a whole number"),
        ("episodes=null", "episodes=None"),
        ("loop.patience=.inf", "loop.patience=.inf must be a number"),
        ("sight.dark=black", "sight.dark=black must be a number"),
        ("progress.fallen=far", "progress.fallen=far must be a number"),
        ("operator=true", "asks on the terminal"),
        ("run=/nowhere", "'/nowhere' is not the folder of a finished train run"),
    ],
)
def test_the_command_line(
    word: str, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open("/dev/null", encoding="utf-8") as nobody:
        monkeypatch.setattr("sys.stdin", nobody)
        assert cli.run(["deploy", word]) == 2
    assert told in capsys.readouterr().err


def test_a_policy_in_degrees_is_not_deployed_on_an_arm_in_percent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sys.path.append(str(Path(__file__).parent))
    from deployable import make_run

    asked = ["deploy", f"run={make_run(tmp_path / 'run')}", "robot=so101", "robot.port=/dev/null", "robot.id=x"]
    cameras = "{type: zmq, server_address: 127.0.0.1, port: 9, height: 48, width: 64, fps: 30, camera_name: front}"
    asked += [f"robot.cameras={{front: {cameras}, wrist: {cameras}}}", f"run_dir={tmp_path / 'out'}"]
    assert cli.run([*asked, "robot.inner.use_degrees=false"]) == 2
    assert "set robot.inner.use_degrees=true" in capsys.readouterr().err
