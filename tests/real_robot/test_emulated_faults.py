"""Each fault of the list, as LeRobot's own SO-101 class meets it on the emulated bus."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from so101_on_bus import arrived, follower, wait_for

from robo_reward.errors import UserError
from robo_reward.real_robot.emulation.action_faults import spoil
from robo_reward.real_robot.emulation.camera_server import CameraSettings
from robo_reward.real_robot.emulation.emulated_arm import EmulatedArm
from robo_reward.real_robot.emulation.faults import FAULTS
from robo_reward.real_robot.emulation.ideal_plant import SO101_JOINTS, IdealPlant
from robo_reward.real_robot.emulation.packets import OVERLOAD, VOLTAGE

pytest.importorskip("scservo_sdk")
PATIENCE = 0.4
"""Seconds that LeRobot waits for an answer; the machine may be busy."""
ACTION = {f"{joint.name}.pos": 10.0 for joint in SO101_JOINTS}


@pytest.fixture
def arm() -> Iterator[EmulatedArm]:
    with EmulatedArm(IdealPlant()) as running:
        yield running


@pytest.fixture
def robot(arm: EmulatedArm, tmp_path: Path) -> Any:
    connected = follower(arm, tmp_path, PATIENCE)
    connected.connect(calibrate=False)
    return connected


def test_the_list_is_whole() -> None:
    assert sorted(FAULTS) == list(range(1, 55))
    assert len({fault.name for fault in FAULTS.values()}) == 54


def test_every_fault_of_the_arm_can_be_brought_about() -> None:
    for fault in FAULTS.values():
        with EmulatedArm(IdealPlant(), cameras=CameraSettings(("front", "wrist"))) as arm:
            if fault.where == "caller":
                with pytest.raises(UserError, match=fault.name):
                    arm.inject(fault.id)
            else:
                arm.inject(fault.id)
                arm.clear(fault.id)
                assert [(number, what) for _, number, what in arm.struck] == [
                    (fault.id, "injected"),
                    (fault.id, "cleared"),
                ]
    with EmulatedArm(IdealPlant()) as arm, pytest.raises(UserError, match="no fault 55"):
        arm.inject(55)
    with pytest.raises(UserError, match="needs a camera"):
        EmulatedArm(IdealPlant(), faults=[25])
    with EmulatedArm(IdealPlant()) as arm, pytest.raises(UserError, match="did you mean 'motor'"):
        arm.inject(36, moter=2)


def test_one_lost_and_one_spoiled_answer_are_retried(arm: EmulatedArm, robot: Any) -> None:
    for number in (30, 31):
        arm.inject(number)
        start = time.perf_counter()
        assert robot.get_observation() == pytest.approx(arm.positions(), abs=0.2)
        asked = [s for s in arm.wire.packets(since=start, direction="to_arm") if s.packet.code == 0x82]
        assert len(asked) == 2  # the first was not answered well
    assert sum(not seen.packet.ok for seen in arm.wire.packets(direction="from_arm")) == 1


def test_losses_end_by_themselves(arm: EmulatedArm, robot: Any) -> None:
    arm.inject(33, share=1.0, seconds=3.0)
    with pytest.raises(ConnectionError):
        robot.get_observation()
    wait_for(lambda: arm.struck[-1][2] == "cleared")
    robot.get_observation()


def test_a_late_answer_comes_late(arm: EmulatedArm, robot: Any) -> None:
    arm.inject(32)
    start = time.perf_counter()
    robot.bus.sync_read("Present_Position", num_retry=0)
    assert time.perf_counter() - start >= 0.09
    answers = arm.wire.packets(since=start, direction="from_arm")
    assert answers[0].t - start >= 0.09
    assert len(answers) == 6  # all six come, late, and only once


def test_a_motor_that_is_absent_or_of_another_kind_is_found_at_connecting(tmp_path: Path) -> None:
    for number, said in ((34, "Missing motor IDs"), (39, "incorrect model numbers"), (40, "different firmware")):
        with EmulatedArm(IdealPlant(), faults=[number]) as arm, pytest.raises(RuntimeError, match=said):
            follower(arm, tmp_path, PATIENCE).connect(calibrate=False)


def test_a_dying_motor_keeps_its_torque(arm: EmulatedArm, robot: Any) -> None:
    arm.inject(35, motor=4)
    with pytest.raises(ConnectionError):
        robot.get_observation()
    with pytest.raises(ConnectionError):
        robot.disconnect()
    # LeRobot gives up at the silent motor; the ones behind it stay powered (robot_vla.md A6, row 6).
    assert list(arm.torque().values()) == [False, False, False, True, True, True]


def test_overload_shows_in_acknowledged_answers_only(arm: EmulatedArm, robot: Any) -> None:
    arm.inject(36, motor=3)
    robot.get_observation()  # a sync read drops the error byte
    assert robot.bus.read("Status", "shoulder_pan") == 0
    with pytest.raises(RuntimeError, match="Overload"):
        robot.bus.read("Status", "elbow_flex")
    answers = [s.packet for s in arm.wire.packets(direction="from_arm") if s.packet.id == 3]
    assert answers[-1].code == OVERLOAD
    arm.clear(36)
    assert robot.bus.read("Status", "elbow_flex") == 0


def test_heat_and_voltage_are_reported(arm: EmulatedArm, robot: Any) -> None:
    arm.inject(37, motor=2)
    time.sleep(0.02)
    heat = robot.bus.sync_read("Present_Temperature", normalize=False)
    assert (heat["shoulder_lift"], heat["elbow_flex"]) == (75, 30)
    arm.clear(37)
    arm.inject(38)
    time.sleep(0.02)
    assert set(robot.bus.sync_read("Present_Voltage", normalize=False).values()) == {55}
    assert {s.packet.code for s in arm.wire.packets(direction="from_arm")[-6:]} == {VOLTAGE}


def test_a_frozen_and_a_jumping_reading(arm: EmulatedArm, robot: Any) -> None:
    robot.send_action(ACTION)
    wait_for(lambda: arrived(arm, ACTION))
    arm.inject(29)
    jumped, then = (robot.get_observation()["elbow_flex.pos"] for _ in range(2))
    assert jumped == pytest.approx(100, abs=0.2)
    assert then == pytest.approx(10, abs=0.2)
    arm.inject(28)
    robot.send_action({**ACTION, "elbow_flex.pos": 40.0})
    wait_for(lambda: abs(arm.positions()["elbow_flex.pos"] - 40) < 0.1)
    assert robot.get_observation()["elbow_flex.pos"] == pytest.approx(10, abs=0.2)


def test_a_reset_servo_has_no_torque(arm: EmulatedArm, robot: Any) -> None:
    arm.inject(41, at=0.05)
    assert arm.torque()["elbow_flex"]
    wait_for(lambda: not arm.torque()["elbow_flex"])
    assert sum(arm.torque().values()) == 5


def test_a_jammed_joint_pushes(arm: EmulatedArm, robot: Any) -> None:
    robot.send_action(ACTION)
    wait_for(lambda: arrived(arm, ACTION))
    arm.jam("elbow_flex")
    robot.send_action({**ACTION, "elbow_flex.pos": 40.0})
    time.sleep(0.2)
    assert arm.positions()["elbow_flex.pos"] == pytest.approx(10, abs=0.2)
    assert robot.bus.read("Present_Load", "elbow_flex") == 1000


def test_the_pulled_cable(arm: EmulatedArm, robot: Any) -> None:
    port = arm.port
    arm.inject(42)
    wait_for(lambda: not Path(port).exists())
    with pytest.raises(Exception) as raised:  # noqa: PT011  (termios.error, which is no OSError)
        robot.get_observation()
    assert not isinstance(raised.value, AssertionError)
    assert all(arm.torque().values())  # nobody told the servos


def test_wrong_calibration_stale_goals_and_a_pose_out_of_range(tmp_path: Path) -> None:
    with EmulatedArm(IdealPlant(), faults=[44]) as arm:
        robot = follower(arm, tmp_path, PATIENCE)
        robot.bus.connect()
        assert not robot.is_calibrated
        robot.bus.disconnect()
    with EmulatedArm(IdealPlant(), faults=[46]) as arm:
        robot = follower(arm, tmp_path, PATIENCE)
        robot.connect(calibrate=False)  # torque comes on, nobody wrote a goal
        wait_for(lambda: abs(arm.positions()["shoulder_pan.pos"]) > 30)
        assert arm.wire.goals() == []
    with EmulatedArm(IdealPlant(sags=False), faults=[47]) as arm:
        robot = follower(arm, tmp_path, PATIENCE)
        robot.connect(calibrate=False)
        assert robot.is_calibrated
        seen = robot.bus.sync_read("Present_Position", normalize=False)["elbow_flex"]
        assert seen < robot.calibration["elbow_flex"].range_min


def test_spoiled_actions() -> None:
    assert math.isnan(spoil(1, ACTION, 0)["shoulder_lift.pos"])
    assert spoil(7, ACTION, 0)["shoulder_lift.pos"] == 510
    assert set(spoil(4, ACTION, 0)) == set(ACTION) - {"shoulder_lift.pos"}
    assert "tail.pos" in spoil(5, ACTION, 0)
    assert spoil(8, ACTION, 0)["elbow_flex.pos"] == -spoil(8, ACTION, 1)["elbow_flex.pos"] == -90
    assert spoil(9, ACTION, 30)["shoulder_lift.pos"] == 25
    with pytest.raises(UserError, match="does not spoil"):
        spoil(36, ACTION, 0)
