"""Any LeRobot robot behind the guard: found by its name, refused without ranges, within the limits, off at last."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_reward import cli
from robo_reward.errors import UserError
from robo_reward.real_robot.robot_yaml import guarded_robot

pytest.importorskip("scservo_sdk")
HERE = str(Path(__file__).parent)
RANGES = {"lift": [-40.0, 40.0], "jaw": [0.0, 100.0]}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Of the made-up robot, whose module the server's process imports by its name."""
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setenv("PYTHONPATH", HERE, prepend=":")
    import plain_arm  # type: ignore[import-not-found]  # noqa: F401 - registers it, as a plug-in of LeRobot's does

    inner = {"type": "plain_arm", "log": str(tmp_path / "motors.jsonl")}
    return {"inner": inner, "id": "mine", "calibration_dir": tmp_path, "socket": tmp_path / "arm.sock",
            "black_box": tmp_path / "box.jsonl", "answer_seconds": 2.0}  # fmt: skip


def told(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "motors.jsonl").read_text().splitlines()]


def test_goals_are_held_to_ranges_and_speed_and_torque_goes_off_at_the_end(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    robot = guarded_robot(**settings, ranges=RANGES)
    robot.connect()
    until = time.monotonic() + 2.0
    while time.monotonic() < until:
        robot.get_observation()
        robot.send_action({"lift.pos": 500.0 if robot.view.position["lift"] > 99 else 60.0, "jaw.pos": 50.0})
        time.sleep(1 / 30)
    robot.disconnect()
    lines = told(tmp_path)
    assert (lines[0], lines[-1]) == ("on", "off")
    lift = np.array([line["lift.pos"] for line in lines if isinstance(line, dict)])
    assert lift.max() == pytest.approx(35.0, abs=0.1)  # the range less the margin of 5
    assert np.abs(np.diff(lift)).max() <= 60 / 50 + 1e-6  # 60 deg/s at 50 Hz


def test_without_ranges_it_is_refused_by_name_and_never_connected(settings: dict[str, Any], tmp_path: Path) -> None:
    robot = guarded_robot(**settings)
    with pytest.raises(UserError, match=r"plain_arm.*range of \['jaw', 'lift'\]"):
        robot.connect()
    assert "on" not in told(tmp_path)


def test_the_doctor_says_that_its_own_connect_may_power_it(settings: dict[str, Any]) -> None:
    from robo_reward.real_robot.deploy.commissioning import check_arm

    found = {finding.name: finding for finding in check_arm(guarded_robot(**settings, ranges=RANGES))}
    assert found["torque"].state == "warn"
    assert found["arm"].state == "ok"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["robot=lerobot"], "robot.inner={type: koch_follower"),
        (["robot=lerobot", "robot.inner={type: koch_folower, port: /dev/x}"], "did you mean 'koch_follower'"),
        (["robot=lerobot", "robot.inner={type: koch_follower}"], "robot.port is not set"),
        (["robot=so101", "robot.port=/dev/x", "robot.cameras={top: {type: opencam}}"], "did you mean 'opencv'"),
    ],
)
def test_a_robot_or_camera_that_is_none_is_refused_with_those_there_are(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["doctor", *words]) == 2
    assert says in capsys.readouterr().err


def test_a_camera_is_known_to_programs_that_do_not_know_it() -> None:
    """lerobot-replay imports robots and no cameras."""
    camera = {"type": "zmq", "server_address": "127.0.0.1", "port": 5, "camera_name": "a", "width": 64, "height": 48}
    inner = {"type": "so101_follower", "port": "/dev/x", "cameras": {"a": {**camera, "fps": 30}}}
    code = (
        "from robo_reward.real_robot.config_guarded_robot import GuardedRobotConfig as Config\n"
        f"print(type(Config(inner={inner!r}).robot().cameras['a']).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "ZMQCameraConfig", done.stderr


def test_a_robot_whose_own_package_is_missing_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """LeRobot remembers which packages are there; what it remembers is set, so that none need be absent."""
    from lerobot.utils import import_utils

    monkeypatch.setitem(import_utils._require_package_cache, "dynamixel_sdk", False)
    assert cli.run(["doctor", "robot=lerobot", "robot.inner={type: koch_follower, port: /dev/x}"]) == 2
    assert "lerobot[dynamixel]" in capsys.readouterr().err
