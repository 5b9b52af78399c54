"""How hard the motors may push: told to them before torque, proven, and refused where it would let the arm fall."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from robo_reward.errors import UserError
from robo_reward.real_robot.limits import LimitPlan, LimitSettings

Start = Callable[..., Any]


def test_motors_are_told_how_hard_they_may_push_before_there_is_torque(start: Start) -> None:
    rig = start(limits=LimitPlan(torque=0.6, joints={"elbow_flex": LimitSettings(torque=0.4)}))
    told = {name: servo.get("Torque_Limit") for name, servo in rig.arm.servos.items()}
    assert told == {name: 400 if name == "elbow_flex" else 600 for name in told}
    limited, powered = rig.arm.wire.writes("Torque_Limit"), rig.arm.wire.writes("Torque_Enable")
    on = [write for write in powered if write.value == 1]
    assert max(write.t for write in limited) < min(write.t for write in on)


@pytest.mark.parametrize("share", [0.05, 1.5])
def test_a_torque_that_holds_nothing_up_is_refused(start: Start, share: float) -> None:
    with pytest.raises(UserError, match=r"limits.torque"):
        start(limits=LimitPlan(torque=share))
