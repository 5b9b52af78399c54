"""How an arm is left: parked, held with the way out, or cut where a person cannot wait."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from test_arm_server_troubles import HOME

from robo_reward.real_robot.arm_client import ArmClient
from robo_reward.real_robot.deploy import leave as leaving
from robo_reward.real_robot.deploy.leave import cut_at_next_interrupt, leave
from robo_reward.real_robot.safety_state import SafetyStop

Start = Callable[..., Any]


def robot(rig: Any, rest: Any = None, code: int = 0) -> Any:
    """What ``leave`` asks of a guarded robot, on the server of this process, which ends with ``code``."""

    def wait(timeout: float) -> int:
        rig.thread.join(timeout)
        return code

    launched = SimpleNamespace(process=SimpleNamespace(wait=wait))
    config = SimpleNamespace(rest=rest, keep_server=False)
    return SimpleNamespace(client=rig.client, config=config, launched=launched, disconnect=lambda: None)


def test_a_clean_end_parks_and_cuts_torque(start: Start) -> None:
    rest = {"shoulder_pan": 3.0, "shoulder_lift": 0.0, "elbow_flex": 0.0, "wrist_flex": 0.0, "wrist_roll": 0.0}
    rig = start(rest=rest | {"gripper": 50.0})
    rig.client.arm()
    assert leave(robot(rig, rest), clean=True) == "parked, torque off"
    assert not any(rig.arm.torque().values())
    assert rig.arm.wire.goals_in_units("shoulder_pan")[1][-1] == pytest.approx(3.0, abs=0.2)


def test_a_server_that_did_not_end_well_while_it_parked_is_no_parked_arm(start: Start) -> None:
    rig = start(rest=HOME)
    rig.client.arm()
    said = leave(robot(rig, HOME, code=-9), clean=True)
    assert "ended with -9" in said
    assert "cut its power" in said


def test_without_a_place_to_rest_or_after_a_stop_the_arm_is_held_and_the_way_out_is_said(start: Start) -> None:
    rig = start()
    rig.client.arm()
    said = leave(robot(rig), clean=False)
    assert said.startswith("HOLD (the commanding process")
    assert f"{rig.client.path} observe" in said
    assert all(rig.arm.torque().values())


@pytest.mark.parametrize("clean", [True, False])
def test_only_after_a_stop_must_a_person_say_that_they_saw_to_it(start: Start, clean: bool) -> None:
    rig = start()
    rig.client.arm()
    said = leave(robot(rig), clean=clean)
    assert said.startswith("HOLD (left in order" if clean else "HOLD (the commanding process")
    following = ArmClient(rig.client.path, "the next program", deadline=2.0)
    following.connect()
    assert following.observe().latched
    if clean:
        assert not following.arm().latched
    else:
        with pytest.raises(SafetyStop, match="rearm=true"):
            following.arm()
    following.close()


def test_who_left_an_arm_that_was_stopped_does_not_make_it_well(start: Start) -> None:
    rig = start()
    rig.client.arm()
    rig.client.hold("somebody is in the way")
    leave(robot(rig), clean=True)
    following = ArmClient(rig.client.path, "the next program", deadline=2.0)
    following.connect()
    with pytest.raises(SafetyStop, match="somebody is in the way"):
        following.arm()
    following.close()


def test_who_cannot_wait_cuts_torque(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = start()
    rig.client.arm()

    def interrupt(view: Any, client: Any, parks: bool) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(leaving, "_held", interrupt)
    with pytest.raises(KeyboardInterrupt):
        leave(robot(rig), clean=False)
    deadline = time.monotonic() + 5
    while any(rig.arm.torque().values()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_ctrl_c_a_second_time_cuts_torque_whatever_the_program_is_at(start: Start) -> None:
    rig = start()
    rig.client.arm()
    before = signal.getsignal(signal.SIGINT)
    cut_at_next_interrupt(robot(rig))
    try:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(2)
    finally:
        signal.signal(signal.SIGINT, before)
    rig.wait("FAULT")
    deadline = time.monotonic() + 5
    while any(rig.arm.torque().values()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
