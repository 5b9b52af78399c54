"""The 54 faults that an arm's software has to survive: number, name, and where and how each is brought about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from robo_reward.errors import UserError

Where = Literal["line", "servo", "camera", "caller"]
Group = Literal["action", "timing", "sensor", "bus", "setup", "human"]


@dataclass(frozen=True, slots=True)
class Fault:
    """``where``: "line", "servo" and "camera" faults are injected by the emulated arm; "caller" by who drives it.

    ``how``: what happens, in words. ``before_connect``: it must stand before somebody connects to be seen at all.
    """

    id: int
    name: str
    group: Group
    where: Where
    how: str
    before_connect: bool = False


def _caller(number: int, name: str, group: Group, how: str) -> Fault:
    return Fault(number, name, group, "caller", how)


_LISTED = (
    _caller(1, "nan_joint", "action", "one joint's goal is NaN"),
    _caller(2, "inf_joint", "action", "one joint's goal is infinite"),
    _caller(3, "wrong_shape", "action", "the action has five numbers"),
    _caller(4, "missing_key", "action", "the action lacks a joint"),
    _caller(5, "unknown_key", "action", "the action names a joint that is none"),
    _caller(6, "wrong_unit", "action", "radians sent as degrees, and the reverse"),
    _caller(7, "step_500", "action", "one joint's goal is 500 degrees away"),
    _caller(8, "bang_bang", "action", "goals alternate between the ends of the range at 15 Hz"),
    _caller(9, "slow_drift", "action", "goals drift to the limit and beyond"),
    _caller(10, "gripper_range", "action", "the gripper's goal is outside 0..100"),
    _caller(11, "policy_sleeps", "timing", "the policy sleeps for 1 s"),
    _caller(12, "policy_hangs", "timing", "the policy never answers again"),
    _caller(13, "policy_killed", "timing", "kill -9 of the policy's process"),
    _caller(14, "gil_stall", "timing", "the policy's process computes without releasing the interpreter lock"),
    _caller(15, "sigint", "timing", "Ctrl-C"),
    _caller(16, "double_sigint", "timing", "Ctrl-C twice"),
    _caller(17, "sigterm", "timing", "SIGTERM"),
    _caller(18, "chunk_late", "timing", "an action chunk arrives after its due time"),
    _caller(19, "chunk_disordered", "timing", "chunks arrive twice and out of order"),
    _caller(20, "clock_jump", "timing", "the wall clock jumps by an hour"),
    _caller(21, "loop_overrun", "timing", "the control loop is stopped for five ticks"),
    Fault(22, "camera_frozen", "sensor", "camera", "the same picture is published again and again"),
    Fault(23, "camera_slow", "sensor", "camera", "3 pictures a second"),
    Fault(24, "camera_dead", "sensor", "camera", "nothing is published any more"),
    Fault(25, "camera_black", "sensor", "camera", "all pixels are 0"),
    Fault(26, "camera_wrong_size", "sensor", "camera", "pictures of half the height and width"),
    Fault(27, "cameras_swapped", "sensor", "camera", "the views carry each other's names (two views or more)"),
    Fault(28, "reading_frozen", "sensor", "servo", "Present_Position stands still while the joint moves"),
    Fault(29, "reading_jumps", "sensor", "servo", "Present_Position is 90 degrees off, in 1 report (reports=N)"),
    Fault(30, "drop_one", "bus", "line", "one answer is lost"),
    Fault(31, "corrupt_one", "bus", "line", "one answer has a wrong checksum"),
    Fault(32, "late_reply", "bus", "line", "one answer is 90 ms late (seconds=S)"),
    Fault(
        33, "loss_10_percent", "bus", "line", "each packet is lost with probability 0.1 (share=P), for 5 s (seconds=S)"
    ),
    Fault(34, "motor_absent", "bus", "line", "a motor is dead when somebody connects", before_connect=True),
    Fault(35, "motor_dies", "bus", "line", "a motor neither answers nor obeys any more; it keeps its torque"),
    Fault(36, "overload", "bus", "servo", "a motor reports overload and falls back to its protective torque"),
    Fault(37, "over_temperature", "bus", "servo", "Present_Temperature reads 75 C"),
    Fault(38, "low_voltage", "bus", "servo", "Present_Voltage reads 5.5 V at every motor, each below its limit of 6 V"),
    Fault(39, "wrong_model", "bus", "servo", "a motor is an STS3250", before_connect=True),
    Fault(40, "mixed_firmware", "bus", "servo", "a motor has another firmware", before_connect=True),
    Fault(41, "servo_reset", "bus", "servo", "a brown-out: registers as at power-on, torque 0"),
    Fault(42, "cable_pulled", "bus", "line", "the port vanishes"),
    _caller(43, "second_process", "bus", "another process opens the same port"),
    Fault(44, "calibration_mismatch", "setup", "servo", "a homing offset differs from the file", before_connect=True),
    _caller(45, "calibration_absent", "setup", "no calibration file is written"),
    Fault(46, "stale_goal", "setup", "servo", "Goal_Position is 60 degrees off while torque is 0", before_connect=True),
    Fault(
        47, "outside_range", "setup", "servo", "the present pose is outside the calibrated range", before_connect=True
    ),
    _caller(48, "foreign_policy", "setup", "the policy was trained with other joints, order or units"),
    _caller(49, "no_statistics", "setup", "normalisation statistics are missing or infinite"),
    _caller(50, "intervention_mid_chunk", "human", "a person takes over and lets go in the middle of a chunk"),
    _caller(51, "leader_far", "human", "the leader arm is far from the follower when a person takes over"),
    _caller(52, "leader_unplugged", "human", "the leader vanishes during an intervention (42 on its own emulated arm)"),
    _caller(53, "e_stop", "human", "the emergency stop in each state"),
    _caller(54, "rearm_uncleared", "human", "re-arming although the cause still stands"),
)
FAULTS: dict[int, Fault] = {fault.id: fault for fault in _LISTED}
"""id -> fault; 54 of them."""


def find(fault_id: int) -> Fault:
    """A fault by its number. UserError if there is none."""
    if fault_id not in FAULTS:
        raise UserError(
            f"there is no fault {fault_id}; they are numbered 1 to {len(FAULTS)} (real_robot/emulation/faults.py)"
        )
    return FAULTS[fault_id]
