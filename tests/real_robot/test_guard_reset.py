"""Leaving FAULT: what the arm itself reports while it has no torque is no second fault."""

import numpy as np
from test_guard import Arm

from robo_reward.real_robot.safety_state import State


def test_what_a_powerless_arm_reports_is_no_second_fault_that_refuses_a_reset() -> None:
    arm = Arm()
    arm.guard.fault(arm.now, "emergency stop")
    asked = arm.guard.state.faults
    assert arm.tick(torque=np.zeros(4)) is None
    assert arm.guard.clear(arm.now, asked)
    assert arm.state[0] is State.HOLD
    assert arm.tick(torque=np.zeros(4)) is None  # powered again, it is one
    assert "lost its torque" in arm.guard.state.reason
