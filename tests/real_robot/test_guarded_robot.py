"""LeRobot's robot interface through an arm server in its own process: limits, kill -9 on either side."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

import draccus
import numpy as np
import pytest
import torch

from robo_reward.errors import UserError
from robo_reward.real_robot.arm_client import ArmClient
from robo_reward.real_robot.black_box import read_black_box
from robo_reward.real_robot.safety_state import SafetyStop

pytest.importorskip("scservo_sdk")

NAMES = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
HOME = {f"{name}.pos": 50.0 if name == "gripper" else 0.0 for name in NAMES}
CALM = ("watches.reading_age=1", "watches.bus_lost=5")
"""The emulated bus is a thread of this process: on a busy machine it is silent for half a second, which is a FAULT by
default and cuts torque."""


@pytest.fixture
def emulated(tmp_path: Path) -> Iterator[Any]:
    """The arm; a server that a failed test left behind is ended."""
    from robo_reward.real_robot.emulation.emulated_arm import EmulatedArm
    from robo_reward.real_robot.emulation.ideal_plant import IdealPlant

    with EmulatedArm(IdealPlant()) as arm:
        yield arm
        with contextlib.suppress(UserError):
            stop_server(tmp_path)


def config(arm: Any, folder: Path, *more: str) -> Any:
    """As LeRobot's command line makes it of words."""
    import lerobot.robots.so_follower  # noqa: F401 - registers so101_follower
    from lerobot.robots.config import RobotConfig

    import robo_reward.real_robot.config_guarded_robot  # noqa: F401 - registers guarded_robot

    arm.write_calibration(folder, "twin")
    words = [
        "type=guarded_robot",
        "id=twin",
        f"calibration_dir={folder}",
        f"inner={{type: so101_follower, port: {arm.port}}}",
        f"socket={folder}/arm.sock",
        f"black_box={folder}/box.jsonl",
        *CALM,
        *more,
    ]
    program = make_dataclass("Program", [("robot", RobotConfig)])
    return draccus.parse(program, args=[f"--robot.{word}" for word in words]).robot


def robot(*args: Any) -> Any:
    from lerobot.robots.utils import make_robot_from_config

    return make_robot_from_config(config(*args))


def drive(guarded: Any, goal: dict[str, Any], seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        guarded.get_observation()
        guarded.send_action(goal)
        time.sleep(1 / 30)


def stop_server(folder: Path) -> None:
    client = ArmClient(folder / "arm.sock", "test", deadline=2.0)
    client.connect()
    client.stop(park=False)
    client.close()


def wait_powerless(arm: Any, seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while any(arm.torque().values()):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_lerobot_run_and_its_return_to_start(emulated: Any, tmp_path: Path) -> None:
    guarded = robot(emulated, tmp_path, "limits.velocity=90", "commands.gentle_time=0")
    assert guarded.action_features == dict.fromkeys(HOME, float)
    guarded.connect()
    assert guarded.launched.said["memory_mb"] > 0
    start = {key: value for key, value in guarded.get_observation().items() if key in HOME}
    drive(guarded, HOME | {"shoulder_pan.pos": torch.tensor(70.0)}, 1.5)  # lerobot-replay sends tensors
    assert emulated.positions()["shoulder_pan.pos"] == pytest.approx(70, abs=2)
    at = {key: guarded.get_observation()[key] for key in start}
    for step in range(1, 51):  # what lerobot-rollout does at its end: one look, then a straight line
        guarded.send_action({key: at[key] + (start[key] - at[key]) * min(step / 25, 1) for key in start})
        time.sleep(0.02)
    assert emulated.positions()["shoulder_pan.pos"] < 10, "1 s at up to 90 deg/s"
    guarded.get_observation()
    time.sleep(0.6)  # a policy that thinks too long
    guarded.send_action(HOME | {"shoulder_pan.pos": 90.0})
    assert "answers an observation of 0.6" in guarded.view.refused
    _, pan = emulated.wire.goals_in_units("shoulder_pan")
    # 70 degrees in half a second were asked for: 140 deg/s; the wire saw no more than 90
    assert np.abs(np.diff(np.asarray(pan)[1:])).max() <= 90 * 0.02 + 360 / 4095
    guarded.disconnect()
    assert not any(emulated.torque().values())
    assert guarded.launched.process.returncode == 0


def test_not_a_number_stops_the_run_and_the_server_waits_for_a_person(emulated: Any, tmp_path: Path) -> None:
    guarded = robot(emulated, tmp_path)
    guarded.connect()
    drive(guarded, HOME, 0.2)
    with pytest.raises(SafetyStop, match=r"HOLD: action for 'elbow_flex' is nan") as stopped:
        guarded.send_action(HOME | {"elbow_flex.pos": np.float32("nan")})
    assert stopped.value.exit_code == 3
    guarded.disconnect()
    assert all(emulated.torque().values()), "held, not dropped"
    again = robot(emulated, tmp_path)
    with pytest.raises(SafetyStop, match="rearm=true"):
        again.connect()
    seen_to = robot(emulated, tmp_path, "rearm=true")
    seen_to.connect()
    drive(seen_to, HOME, 0.2)
    seen_to.disconnect()
    stop_server(tmp_path)
    wait_powerless(emulated)


def _command(folder: str) -> None:
    client = ArmClient(Path(folder) / "arm.sock", "doomed")
    client.connect()
    client.arm()
    goal = {key.removesuffix(".pos"): value for key, value in HOME.items()} | {"shoulder_pan": 80.0}
    while True:
        client.act(goal, client.observe().read_at)
        time.sleep(0.03)


def test_kill_9_of_the_client_is_held_and_of_the_server_is_taken_over(emulated: Any, tmp_path: Path) -> None:
    from robo_reward.real_robot.arm_server.launch import launch

    guarded = robot(emulated, tmp_path)
    spec = guarded.spec()
    server = launch(spec)
    doomed = multiprocessing.get_context("fork").Process(target=_command, args=(str(tmp_path),))
    doomed.start()
    time.sleep(1.2)
    assert doomed.pid is not None
    os.kill(doomed.pid, signal.SIGKILL)
    killed = time.perf_counter()
    time.sleep(0.8)
    t, pan = (np.asarray(column) for column in emulated.wire.goals_in_units("shoulder_pan"))
    moved = t[1:][np.diff(pan) != 0]
    assert pan.max() > 5, "it was moving"
    # the kernel closes the socket at once: one period, the ramp of 0.2 s, and as much again for a busy machine
    assert moved[-1] - killed < 0.02 + 0.2 + 0.22
    with pytest.raises(UserError, match=r"taken by another arm server"):
        launch(spec)
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    assert all(emulated.torque().values()), "servos have no watchdog: they hold their last goal, as the docs say"
    records = list(read_black_box(tmp_path / "box.jsonl"))
    lines = (tmp_path / "box.jsonl").read_bytes().split(b"\n")
    assert len(records) == len(lines) - 1
    assert any("doomed" in str(record.get("value")) for record in records)
    before = emulated.positions()
    since = time.perf_counter()
    guarded.connect()
    time.sleep(0.2)
    assert [write.value for write in emulated.wire.writes("Torque_Enable") if write.t > since and not write.value] == []
    after = emulated.positions()
    assert max(abs(after[key] - before[key]) for key in before) < 1.5
    guarded.disconnect()
    assert not any(emulated.torque().values())


def test_a_wrong_limit_is_refused_before_torque(emulated: Any, tmp_path: Path) -> None:
    from robo_reward.real_robot.arm_server.serve import Server, make_driver

    spec = robot(emulated, tmp_path, "limits.velocity=-1").spec()
    with pytest.raises(UserError, match="must all be above 0"):
        Server(spec, make_driver(spec)).start()
    assert not any(emulated.torque().values())
    (refused,) = [record for record in read_black_box(tmp_path / "box.jsonl") if record.get("event") == "refused"]
    assert "must all be above 0" in refused["value"]


def test_terminating_the_server_brakes_and_cuts(emulated: Any, tmp_path: Path) -> None:
    from robo_reward.real_robot.arm_server.launch import launch

    server = launch(robot(emulated, tmp_path).spec())
    client = ArmClient(tmp_path / "arm.sock", "test")
    client.connect()
    client.arm()
    for _ in range(15):
        client.act(dict.fromkeys(NAMES, 50.0), client.observe().read_at)
        time.sleep(0.03)
    t = np.asarray(emulated.wire.goals_in_units("shoulder_pan")[0])
    assert np.diff(t[2:]).min() > 0.01, "a goal is never nearer to the last than a period, but for the bus"
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(10) == 0
    assert not any(emulated.torque().values())
    pan = np.asarray(emulated.wire.goals_in_units("shoulder_pan")[1])
    assert np.abs(np.diff(np.diff(pan[2:]))).max() <= 300 * 0.02**2 + 2 * 360 / 4095, "it braked before it was cut"
    with pytest.raises(SafetyStop, match="did not answer"):
        client.observe()


def test_the_yaml_makes_the_same_robot(tmp_path: Path) -> None:
    from hydra import compose, initialize_config_module

    from robo_reward.build import build

    with initialize_config_module("robo_reward.configs", version_base=None):
        group = compose("robot/so101").robot
    with pytest.raises(UserError, match=r"robot\.port is not set"):
        build(group)
    made = build(group, port="/dev/nothing", id="x", calibration_dir=str(tmp_path), rest=dict.fromkeys(NAMES, 0.0))
    assert made.inner.type in ("so101_follower", "so100_follower")  # LeRobot registers one class under both
    assert made.inner.port == "/dev/nothing"
    assert made.config.limits.joints["gripper"].velocity == 150
    assert made.config.workspace.speed == 0.25
    with pytest.raises(UserError, match="velocty"):
        build(group, port="/dev/nothing", calibration_dir=str(tmp_path), limits={"velocty": 1})


def test_a_camera_that_is_not_there_is_refused_before_the_server(emulated: Any, tmp_path: Path) -> None:
    import lerobot.cameras.opencv  # noqa: F401 - registers opencv
    from lerobot.robots.utils import make_robot_from_config

    asked = config(emulated, tmp_path)
    absent = {"type": "opencv", "index_or_path": str(tmp_path / "none"), "width": 64, "height": 48, "fps": 30}
    asked.inner["cameras"] = {"front": absent}
    with pytest.raises(UserError, match="camera 'front' cannot be opened"):
        make_robot_from_config(asked).connect()
    assert not any(emulated.torque().values())
    assert not (tmp_path / "arm.sock").exists()


def test_an_interruption_while_the_server_starts_leaves_no_torque(
    emulated: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from robo_reward.real_robot.arm_server import launch

    started: list[Any] = []

    def interrupted(process: Any, seconds: float) -> dict[str, Any]:
        started.append(process)
        until = time.monotonic() + 300
        while not any(emulated.torque().values()):
            assert time.monotonic() < until
            time.sleep(0.001)
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "_first_words", interrupted)
    with pytest.raises(KeyboardInterrupt):
        robot(emulated, tmp_path).connect()
    assert started[0].returncode is not None
    assert not any(emulated.torque().values())


@pytest.mark.parametrize("torn", ['{"shoulder_pan": {', "[]", '{"shoulder_pan": {"id": "one"}}', ""])
def test_a_damaged_calibration_file_is_a_users_error(emulated: Any, tmp_path: Path, torn: str) -> None:
    asked = config(emulated, tmp_path)
    (tmp_path / "twin.json").write_text(torn)
    from robo_reward.real_robot.guarded_robot import GuardedRobot

    with pytest.raises(UserError, match="calibration"):
        GuardedRobot(asked).connect()
    assert not any(emulated.torque().values())
