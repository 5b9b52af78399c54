"""While an arm is being parked, and while a fault is being cleared: what programs and people say meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from test_arm_server_troubles import HOME, REST, parked, powered

from robo_reward.real_robot.arm_client import ArmClient
from robo_reward.real_robot.arm_server.control_loop import ControlLoop
from robo_reward.real_robot.arm_server.serve import undisturbed
from robo_reward.real_robot.safety_state import Event, SafetyState, SafetyStop, State

pytest.importorskip("scservo_sdk")

Start = Callable[..., Any]


def asked_to_park(start: Start, **more: Any) -> Any:
    """A rig that was moving when somebody asked it to park."""
    rig = start(rest=REST, **more)
    rig.client.arm()
    rig.drive(HOME | {"shoulder_pan": 15.0}, 0.4)
    with contextlib.closing(ArmClient(rig.client.path, "who parks", deadline=2.0)) as other:
        other.connect()
        other.stop(park=True)
    return rig


def test_a_program_that_notices_the_stop_and_holds_does_not_call_it_off(start: Start) -> None:
    rig = asked_to_park(start)
    rig.client.hold("the arm is in HOLD: stop asked")  # what deploy's loop says when it sees the latched HOLD
    assert parked(rig)


def test_a_program_that_ends_meanwhile_does_not_drop_the_arm(start: Start) -> None:
    rig = asked_to_park(start)
    time.sleep(0.5)
    rig.client.stop(park=True)
    rig.client.stop(park=False)
    assert parked(rig)
    assert rig.ended_in_fault == [False]


def test_a_person_who_insists_has_torque_cut_at_once(start: Start) -> None:
    rig = asked_to_park(start)
    rig.client.stop(park=False, insist=True)
    rig.thread.join(5)
    assert powered(rig) == set()
    assert rig.ended_in_fault == [True]


def test_an_arm_that_cannot_be_parked_in_time_is_held_and_not_dropped(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ControlLoop, "_arrived", lambda self: False)
    monkeypatch.setattr("robo_reward.real_robot.arm_server.control_loop.BRAKE_SECONDS", 0.2)
    rig = asked_to_park(start)
    until = time.monotonic() + 20
    while "could not be parked" not in rig.client.observe().reason:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert rig.thread.is_alive()
    assert powered(rig) == set(HOME)


def test_an_emergency_stop_during_a_reset_is_not_lost(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = start()
    rig.client.estop()
    rig.wait("FAULT")
    power, reached = rig.server.arm.power, threading.Event()

    def slow() -> None:
        power()
        reached.set()
        time.sleep(0.3)

    monkeypatch.setattr(rig.server.arm, "power", slow)
    with contextlib.closing(ArmClient(rig.client.path, "who resets", deadline=2.0)) as other:
        other.connect()
        refused: list[BaseException] = []

        def ask() -> None:
            try:
                other.reset()
            except SafetyStop as stop:
                refused.append(stop)

        asking = threading.Thread(target=ask)
        asking.start()
        assert reached.wait(5)
        rig.client.estop()
        asking.join(10)
    assert len(refused) == 1
    assert "emergency stop" in str(refused[0])
    time.sleep(0.2)
    assert rig.client.observe().state == "FAULT"
    assert powered(rig) == set()


def test_a_fault_that_came_after_the_request_outlives_the_reset() -> None:
    heard: list[Event] = []
    state = SafetyState(heard.append)
    state.fault(0.0, "too hot")
    before = state.faults
    state.fault(1.0, "emergency stop")
    assert not state.clear(2.0, before)
    assert state.state is State.FAULT
    assert state.clear(3.0, state.faults)
    assert (state.state, state.latched) == (State.HOLD, True)


def test_a_second_reset_does_not_tell_the_first_ones_failure(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = start()
    rig.client.estop()
    rig.wait("FAULT")
    power = rig.server.arm.power
    monkeypatch.setattr(rig.server.arm, "power", lambda: (_ for _ in ()).throw(RuntimeError("90 C")))
    with pytest.raises(SafetyStop, match="90 C"):
        rig.client.reset()
    monkeypatch.setattr(rig.server.arm, "power", power)
    assert rig.client.reset().state == "HOLD"
    assert powered(rig) == set(HOME)


def test_who_leaves_an_arm_in_fault_says_whether_it_is_powered(start: Start) -> None:
    rig = start()
    rig.client.estop()
    rig.wait("FAULT")
    until = time.monotonic() + 5
    while (told := rig.client.observe().torque) != dict.fromkeys(HOME, "off"):  # it asks again every second
        assert time.monotonic() < until, told


def test_signals_do_not_interrupt_the_cutting_of_torque() -> None:
    before = signal.getsignal(signal.SIGINT)
    with undisturbed():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
    assert signal.getsignal(signal.SIGINT) is before
