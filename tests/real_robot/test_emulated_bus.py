"""LeRobot's own SO-101 classes on the emulated bus: they connect, move it, and meet every fault of the line."""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from so101_on_bus import arrived, follower, wait_for

from robo_reward.errors import UserError
from robo_reward.joint_goals import Drive
from robo_reward.real_robot.emulation.calibration import calibrate
from robo_reward.real_robot.emulation.camera_server import CameraSettings
from robo_reward.real_robot.emulation.emulated_arm import EmulatedArm
from robo_reward.real_robot.emulation.ideal_plant import SO101_JOINTS, IdealPlant
from robo_reward.real_robot.emulation.packets import (
    Packet,
    PacketReader,
    checksum,
    from_sign_magnitude,
    sync_write_parts,
    to_sign_magnitude,
)
from robo_reward.real_robot.emulation.patience import be_patient
from robo_reward.real_robot.emulation.plant import Plant

pytest.importorskip("scservo_sdk")
PATIENCE = 2.0
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


# --- the wire ---------------------------------------------------------------------------------------------------------


def test_packets_by_hand() -> None:
    # Vendor manual: ping of servo 1 and its answer.
    assert Packet(1, 1, b"").to_bytes() == bytes.fromhex("ffff010201fb")
    assert Packet(1, 0, b"").to_bytes() == bytes.fromhex("ffff010200fc")
    assert checksum(bytes((1, 4, 2, 0x38, 2))) == 0xBE  # read 2 bytes from 56
    assert (to_sign_magnitude(-341, 11), from_sign_magnitude(0x800 | 341, 11)) == (0x955, -341)
    assert list(sync_write_parts(bytes((42, 2, 1, 0, 8, 2, 255, 7)))) == [(1, 42, b"\x00\x08"), (2, 42, b"\xff\x07")]


@given(
    st.lists(st.tuples(st.integers(0, 253), st.integers(0, 127), st.binary(max_size=30)), max_size=6),
    st.binary(max_size=8).filter(lambda noise: 0xFF not in noise),
    st.integers(1, 9),
)
def test_any_stream_is_cut_at_its_packets(sent: list[tuple[int, int, bytes]], noise: bytes, piece: int) -> None:
    packets = [Packet(*entry) for entry in sent]
    stream = b"".join(noise + packet.to_bytes() for packet in packets)
    reader = PacketReader()
    found = [p for i in range(0, len(stream), piece) for p in reader.feed(stream[i : i + piece], 0.0)]
    assert found == packets


def test_a_pause_ends_a_broken_packet() -> None:
    reader, whole = PacketReader(), Packet(3, 1, b"")
    assert list(reader.feed(whole.to_bytes()[:4], 1.0)) == []
    assert list(reader.feed(whole.to_bytes(), 1.2)) == [whole]


def test_calibration_by_hand() -> None:
    found = calibrate(SO101_JOINTS)
    # 110 degrees are 1251.6 ticks either side of 2047.5; the gripper's 110 degrees are centred as well.
    assert (found["shoulder_pan"]["range_min"], found["shoulder_pan"]["range_max"]) == (795, 3300)
    assert (found["wrist_roll"]["range_min"], found["wrist_roll"]["range_max"]) == (0, 4095)
    assert (found["gripper"]["range_min"], found["gripper"]["range_max"]) == (1421, 2674)
    assert [entry["id"] for entry in found.values()] == [1, 2, 3, 4, 5, 6]


# --- a healthy arm ----------------------------------------------------------------------------------------------------


def test_lerobot_connects_moves_and_lets_go(arm: EmulatedArm, robot: Any) -> None:
    assert robot.is_calibrated
    assert all(arm.torque().values())
    robot.send_action(ACTION)
    wait_for(lambda: arrived(arm, ACTION))
    seen, true = robot.get_observation(), arm.positions()
    assert seen == pytest.approx(true, abs=0.1)  # one tick is 0.088 degrees
    assert seen == pytest.approx(ACTION, abs=0.25)
    robot.disconnect()
    assert not any(arm.torque().values())
    assert arm.wire.torque_at() == dict.fromkeys(arm.servos, 0)


def test_the_wire_tells_every_goal_and_when(arm: EmulatedArm, robot: Any) -> None:
    start = time.perf_counter()
    robot.send_action({**ACTION, "gripper.pos": 100.0})
    robot.send_action({**ACTION, "shoulder_pan.pos": -20.0})
    robot.get_observation()  # answered after both, so both have passed
    t, goals = arm.wire.goals_in_units("shoulder_pan", since=start)
    assert goals == pytest.approx([10.0, -20.0], abs=0.05)
    assert start <= t[0] <= t[1] <= time.perf_counter()
    assert [w.value for w in arm.wire.goals("gripper", since=start)] == [2674, 1421 + 125]
    on = [w for w in arm.wire.writes("Torque_Enable", "wrist_flex") if w.value == 1]
    assert len(on) == 1
    assert arm.wire.torque_at(on[0].t - 1e-6)["wrist_flex"] == 0
    with pytest.raises(UserError, match="did you mean 'gripper'"):
        arm.wire.goals("griper")


def test_the_log_holds_every_byte(arm: EmulatedArm, robot: Any, tmp_path: Path) -> None:
    robot.get_observation()
    assert all(seen.packet.ok for seen in arm.wire.packets())
    total = sum(len(event.data) for event in arm.wire.events())
    assert total == sum(len(seen.packet.to_bytes()) for seen in arm.wire.packets())
    arm.wire.save(tmp_path / "wire.jsonl")
    assert len((tmp_path / "wire.jsonl").read_text().splitlines()) == len(arm.wire.events())


def test_servos_go_at_their_speed_and_clamp_to_their_limits(arm: EmulatedArm, robot: Any) -> None:
    robot.send_action({**ACTION, "shoulder_pan.pos": 150.0})  # sent as it is; the firmware stops at 110
    wait_for(lambda: arm.positions()["shoulder_pan.pos"] > 109)
    time.sleep(0.1)
    assert arm.positions()["shoulder_pan.pos"] == pytest.approx(110, abs=0.2)
    t, positions = arm.truth()
    speed = np.diff(positions[:, 0]) / np.diff(t)
    assert speed.max() <= math.degrees(3400 * 2 * math.pi / 4096) * 1.01


def test_an_unpowered_arm_sinks_and_a_stale_goal_pulls(arm: EmulatedArm) -> None:
    before = arm.positions()["elbow_flex.pos"]
    wait_for(lambda: arm.positions()["elbow_flex.pos"] > before + 1)


def test_a_servo_at_another_speed_hears_nothing(arm: EmulatedArm, tmp_path: Path) -> None:
    bus = follower(arm, tmp_path, PATIENCE).bus
    bus.connect()
    bus.set_baudrate(115_200)
    assert bus.ping("shoulder_pan") is None
    bus.set_baudrate(1_000_000)
    assert bus.ping("shoulder_pan") == 777
    bus.disconnect()


def test_locked_registers_are_lost_with_the_power(arm: EmulatedArm, tmp_path: Path) -> None:
    bus = follower(arm, tmp_path, PATIENCE).bus
    bus.connect()
    bus.write("Lock", "gripper", 1)
    bus.write("P_Coefficient", "gripper", 7)
    bus.write("Lock", "elbow_flex", 0)
    bus.write("P_Coefficient", "elbow_flex", 7)
    bus.write("Model_Number", "elbow_flex", 5)  # read-only
    assert bus.read("P_Coefficient", "gripper") == 7
    arm.inject(41, motor=6)
    arm.inject(41, motor=3)
    assert (bus.read("P_Coefficient", "gripper"), bus.read("P_Coefficient", "elbow_flex")) == (32, 7)
    assert bus.ping("elbow_flex") == 777
    bus.disconnect()


def test_the_leader_class_is_driven_by_hand(tmp_path: Path) -> None:
    from lerobot.teleoperators.so_leader import SO101Leader, SO101LeaderConfig

    with EmulatedArm(IdealPlant(start=(5.0, -20.0, 30.0, 0.0, 0.0, 0.0))) as arm:
        arm.write_calibration(tmp_path, "lead")
        leader = SO101Leader(SO101LeaderConfig(port=arm.port, id="lead", calibration_dir=tmp_path))
        be_patient(leader.bus)
        leader.connect(calibrate=False)
        assert not any(arm.torque().values())
        assert leader.get_action()["shoulder_pan.pos"] == pytest.approx(5, abs=0.1)
        leader.disconnect()


def test_a_killed_client_leaves_the_port_usable(arm: EmulatedArm, robot: Any, tmp_path: Path) -> None:
    robot.bus.port_handler.ser.write(b"\xff\xff\x01\x09")  # it dies in the middle of a packet
    robot.bus.port_handler.closePort()
    time.sleep(0.1)
    again = follower(arm, tmp_path, PATIENCE)
    again.connect(calibrate=False)
    assert again.get_observation() == pytest.approx(arm.positions(), abs=0.2)


def test_leaving_takes_the_port_away(tmp_path: Path) -> None:
    with EmulatedArm(IdealPlant()) as arm:
        port = arm.port
        assert isinstance(arm.plant, Plant)
    with pytest.raises(OSError) as raised:  # noqa: PT011
        os.close(os.open(port, os.O_RDWR | os.O_NOCTTY))
    assert raised.value.errno in (errno.ENOENT, errno.EIO)


def test_a_plant_that_breaks_is_reported() -> None:
    class Broken(IdealPlant):
        def advance(self, seconds: float, drive: Drive) -> None:
            raise ArithmeticError("the simulation blew up")

    with pytest.raises(ArithmeticError, match="blew up"), EmulatedArm(Broken()) as arm:
        wait_for(lambda: not Path(arm.port).exists())


# --- cameras ----------------------------------------------------------------------------------------------------------


def test_lerobots_zmq_camera_reads_the_plant() -> None:
    pytest.importorskip("zmq")
    from lerobot.cameras.zmq import ZMQCamera, ZMQCameraConfig

    with EmulatedArm(IdealPlant(), cameras=CameraSettings(("front", "wrist"), 48, 64)) as arm:
        port = arm.camera_port
        assert port is not None
        # Its disconnect waits 2 s for the reader: a longer timeout_ms lets libzmq abort the whole process.
        settings: dict[str, Any] = {
            "timeout_ms": 500,
            "server_address": "127.0.0.1",
            "port": port,
            "width": 64,
            "height": 48,
            "fps": 30,
        }
        front = ZMQCamera(ZMQCameraConfig(camera_name="front", **settings))
        front.connect()
        assert np.asarray(front.async_read()).mean((0, 1)) == pytest.approx([122, 65, 65], abs=8)  # red tint, RGB
        arm.inject(27)
        wait_for(lambda: np.asarray(front.async_read()).mean((0, 1)).argmax() == 1)
        arm.clear(27)
        arm.inject(25)
        wait_for(lambda: int(front.async_read().max()) < 10)
        arm.clear(25)
        arm.inject(26)
        wait_for(lambda: front.async_read().shape == (24, 32, 3))
        arm.clear(26)
        arm.inject(24)
        wait_for(lambda: front.thread is not None)
        time.sleep(0.4)
        with pytest.raises(TimeoutError, match="too old"):
            front.read_latest(max_age_ms=200)
        front.disconnect()


def test_a_camera_that_nobody_has_is_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'front'"):
        EmulatedArm(IdealPlant(), cameras=CameraSettings(("frnt",)))
