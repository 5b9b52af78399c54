"""The arm server when its disk is full, its clients lie, and somebody changes their mind while it parks."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_reward.errors import UserError
from robo_reward.real_robot.arm_client import ArmClient
from robo_reward.real_robot.arm_server.door import MOST_CLIENTS
from robo_reward.real_robot.black_box import BlackBox, read_black_box
from robo_reward.real_robot.safety_state import SafetyStop

pytest.importorskip("scservo_sdk")

HOME = {"shoulder_pan": 0.0, "shoulder_lift": 0.0, "elbow_flex": 0.0, "wrist_flex": 0.0, "wrist_roll": 0.0}
HOME["gripper"] = 50.0
REST = HOME | {"shoulder_pan": -20.0}
Start = Callable[..., Any]


def powered(rig: Any) -> set[str]:
    return {name for name, on in rig.arm.torque().items() if on}


def parking(start: Start) -> Any:
    """A rig in the middle of its way to rest, some 45 degrees at 15 deg/s."""
    rig = start(rest=REST)
    rig.client.arm()
    rig.drive(HOME | {"shoulder_pan": 25.0}, 1.0)
    other = ArmClient(rig.client.path, "who parks", deadline=2.0)
    other.connect()
    other.stop(park=True)
    other.close()
    until = time.monotonic() + 3
    while not rig.server.guard._parking:
        assert time.monotonic() < until
        time.sleep(0.005)
    return rig


def parked(rig: Any) -> bool:
    rig.thread.join(15)
    assert not rig.thread.is_alive()
    assert powered(rig) == set()
    _, pan = rig.arm.wire.goals_in_units("shoulder_pan")
    return bool(abs(pan[-1] - REST["shoulder_pan"]) < 0.6)


def test_a_full_disk_holds_the_arm_and_does_not_drop_it(start: Start) -> None:
    rig = start()
    rig.client.arm()
    rig.drive(HOME, 0.2)
    box = rig.server.box
    good, full = os.dup(box._file), os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, box._file)
    view = rig.wait("HOLD")
    assert view.latched
    assert "black box cannot be written" in view.reason
    time.sleep(0.3)
    assert powered(rig) == set(HOME)
    rig.client.arm(again=True)
    time.sleep(0.1)
    assert rig.client.observe().latched, "not before there is room again"
    os.dup2(good, box._file)
    time.sleep(1.2)  # fsync is asked once a second
    rig.client.arm(again=True)
    assert rig.drive(HOME, 0.3).state == "RUN"
    assert list(read_black_box(rig.box))
    os.close(good)
    os.close(full)


def test_a_record_that_was_half_written_spoils_none_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = BlackBox(tmp_path / "box.jsonl")
    box.open()
    box.add({"n": 1})
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, line: write(file, line[: len(line) // 2]))
    box.add({"n": 2})
    assert "No space left" in box.trouble
    monkeypatch.undo()
    box.add({"n": 3})
    assert box.trouble == ""
    box.close()
    assert [record["n"] for record in read_black_box(box.path)] == [1, 3]


def test_a_black_box_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be written.*robot\.black_box"):
        BlackBox(tmp_path).open()


@pytest.mark.parametrize(
    "line",
    [
        b'{"do": "act", "sequence": Infinity, "sent_at": 0, "observed_at": 0, "goal": {}}',
        b'{"do": "act", "sequence": 1, "sent_at": 1' + b"0" * 400 + b', "observed_at": 0, "goal": {}}',
        b"[" * 30000,
        b'"act"',
        b"\xff\xfe",
    ],
)
def test_no_request_silences_the_server(start: Start, line: bytes) -> None:
    rig = start()
    rig.client.arm()
    rig.drive(HOME, 0.1)
    assert rig.client._link is not None
    rig.client._link.sendall(line + b"\n")
    assert "unreadable" in json.loads(rig.client._line(rig.client._link, 2.0))["error"]
    view = rig.client.observe()
    assert (view.state, view.latched) == ("HOLD", True)
    assert rig.client.estop().state == "FAULT"


def test_whoever_opens_connections_without_end_keeps_nobody_from_stopping_the_arm(start: Start) -> None:
    rig = start()
    rig.client.arm()
    crowd = []
    for _ in range(2 * MOST_CLIENTS):
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.settimeout(2)
        link.connect(str(rig.client.path))
        crowd.append(link)
    assert rig.drive(HOME, 0.3).state == "RUN"
    assert crowd[0].recv(1) == b"", "the oldest is sent away"
    late = ArmClient(rig.client.path, "late", deadline=2.0)
    late.connect()
    assert late.estop().state == "FAULT", "while all of them are still open"
    late.close()
    for link in crowd:
        link.close()


@pytest.mark.parametrize("ahead", [5.0, 1e9, float("nan"), float("inf")])
def test_a_command_of_another_clock_is_not_fresh(start: Start, ahead: float) -> None:
    rig = start()
    rig.client.arm()
    view = rig.client.act(HOME | {"shoulder_pan": 30.0}, time.monotonic() + ahead)
    assert "monotonic clock" in view.refused
    time.sleep(0.1)
    assert np.ptp(rig.arm.wire.goals_in_units("shoulder_pan")[1][2:]) == 0


@pytest.mark.parametrize("what", ["leaves", "nonsense", "not a number", "pause", "arms again"])
def test_whoever_commanded_does_not_end_a_parking_half_way(start: Start, what: str) -> None:
    rig = parking(start)
    if what == "leaves":
        rig.client.close()
    elif what == "nonsense":
        rig.client._link.sendall(b"{}\n")
    elif what == "not a number":
        assert "parked" in rig.client.act(HOME | {"gripper": float("nan")}, time.monotonic()).refused
    elif what == "pause":
        rig.client.pause("a camera is dark")
    else:
        with pytest.raises(UserError, match="about to end"):
            rig.client.arm(again=True)
    assert parked(rig)


def test_hold_calls_a_parking_off_and_the_arm_stays_powered(start: Start) -> None:
    rig = parking(start)
    view = rig.client.hold("somebody is in the way", call_off=True)
    assert (view.state, view.latched) == ("HOLD", True)
    time.sleep(1.0)
    assert rig.thread.is_alive()
    assert powered(rig) == set(HOME)
    _, pan = rig.arm.wire.goals_in_units("shoulder_pan")
    assert pan[-1] > REST["shoulder_pan"] + 5
    rig.client.stop(park=True)
    assert parked(rig)


def test_an_arm_without_a_rest_is_not_parked_by_letting_it_sink(start: Start) -> None:
    rig = start()
    with pytest.raises(UserError, match="no pose to park in"):
        rig.client.stop(park=True)
    time.sleep(0.2)
    assert powered(rig) == set(HOME)


def test_a_server_with_other_limits_is_not_taken_for_ones_own(start: Start, tmp_path: Path) -> None:
    from test_guarded_robot import config

    from robo_reward.real_robot.guarded_robot import GuardedRobot

    rig = start()
    default = ("watches.reading_age=0.1", "watches.bus_lost=0.5")
    slow = GuardedRobot(config(rig.arm, tmp_path, *default, "limits.velocity=15"))
    with pytest.raises(UserError, match=r"limits\.velocity is 60\.0 there, 15\.0 here") as refused:
        slow.connect()
    assert refused.value.exit_code == 2
    assert not isinstance(refused.value, SafetyStop)
    same = GuardedRobot(config(rig.arm, tmp_path, *default))
    same.connect()
    same.disconnect()
    assert powered(rig) == set(HOME), "a server that somebody else started stays"
