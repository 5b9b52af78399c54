"""How each fault of the list is brought about on an emulated arm, and taken back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from robo_reward.errors import UserError, unknown_name
from robo_reward.real_robot.emulation.faults import Fault, find
from robo_reward.real_robot.emulation.packets import OVERLOAD
from robo_reward.real_robot.emulation.registers import TICKS

if TYPE_CHECKING:
    from robo_reward.real_robot.emulation.emulated_arm import EmulatedArm
    from robo_reward.real_robot.emulation.servo import Servo

Undo = Callable[[], None]
STS3250 = 2825


@dataclass(frozen=True, slots=True)
class Where:
    """What a fault may be told: the motor's number, and the sizes that the list names in brackets."""

    motor: int = 3
    share: float = 0.1
    seconds: float | None = None
    reports: int = 1


def told(parameters: Mapping[str, Any]) -> Where:
    """Checks the keywords of ``inject``. UserError for unknown ones."""
    known = [field.name for field in fields(Where)]
    for key in parameters:
        if key not in known:
            raise unknown_name("setting of a fault", key, known)
    return Where(**parameters)


def check(fault_id: int, arm: EmulatedArm) -> Fault:
    """The fault, if this arm can have it. UserError otherwise."""
    fault = find(fault_id)
    if fault.where == "caller":
        raise UserError(
            f"fault {fault.id} ({fault.name}) does not happen on the arm: {fault.how}. Whoever drives the arm brings "
            "it about; action_faults.py has those that spoil actions"
        )
    if fault.where == "camera" and arm.cameras is None:
        raise UserError(
            f"fault {fault.id} ({fault.name}) needs a camera: EmulatedArm(..., cameras=CameraSettings(...))"
        )
    return fault


def strike(fault_id: int, arm: EmulatedArm, at: Where) -> Undo:
    """Brings the fault about now and returns what takes it back (nothing, for what has happened)."""
    if fault_id in _CAMERA:
        return _set(arm.cameras.faults if arm.cameras else None, **_CAMERA[fault_id])
    return _ON_ARM[fault_id](arm, at)


def _servo(arm: EmulatedArm, at: Where) -> Servo:
    for servo in arm.servos.values():
        if servo.calibration["id"] == at.motor:
            return servo
    raise UserError(f"there is no motor {at.motor}; the arm has 1 to {len(arm.servos)}")


def _set(thing: Any, **values: Any) -> Undo:
    """Sets attributes; undoing sets them back."""
    before = {key: getattr(thing, key) for key in values}
    for key, value in values.items():
        setattr(thing, key, value)

    def undo() -> None:
        for key, value in before.items():
            setattr(thing, key, value)

    return undo


def _registers(servo: Servo, **values: int) -> Undo:
    before = {name: servo.get(name) for name in values}
    for name, value in values.items():
        servo.set(name, value)

    def undo() -> None:
        for name, value in before.items():
            servo.set(name, value)

    return undo


def _report(servo: Servo, **values: int) -> Undo:
    before = dict(servo.reported)
    servo.reported.update(values)

    def undo() -> None:
        servo.reported.clear()
        servo.reported.update(before)

    return undo


def _all(*undos: Undo) -> Undo:
    def undo() -> None:
        for each in undos:
            each()

    return undo


def _kill(arm: EmulatedArm, at: Where) -> Undo:
    number = _servo(arm, at).id
    arm.line.dead.add(number)
    return lambda: arm.line.dead.discard(number)


def _reset(arm: EmulatedArm, at: Where) -> Undo:
    _servo(arm, at).power_cycle()
    return lambda: None


def _unplug(arm: EmulatedArm, at: Where) -> Undo:
    arm.bus.unplug()
    return lambda: None


def _jump(arm: EmulatedArm, at: Where) -> Undo:
    return _set(_servo(arm, at), jump=(TICKS // 4, at.reports))


def _low_voltage(arm: EmulatedArm, at: Where) -> Undo:
    servos = arm.servos.values()
    return _all(
        *(_registers(servo, Min_Voltage_Limit=60) for servo in servos),
        *(_report(servo, Present_Voltage=55) for servo in servos),
    )


def _stale_goal(arm: EmulatedArm, at: Where) -> Undo:
    for servo in arm.servos.values():
        place = servo.get("Present_Position")
        away = TICKS // 6 if place < TICKS // 2 else -(TICKS // 6)
        servo.set("Goal_Position", place + away)
    return lambda: None


def _outside(arm: EmulatedArm, at: Where) -> Undo:
    """The calibrated range, in registers and in the arm's ``calibration``, begins 20 degrees above the present pose."""
    servo = _servo(arm, at)
    low = servo.get("Present_Position") + TICKS // 18
    before = servo.calibration["range_min"]
    servo.calibration["range_min"] = low
    undo = _registers(servo, Min_Position_Limit=low)
    return _all(undo, lambda: servo.calibration.__setitem__("range_min", before))


_CAMERA: dict[int, dict[str, Any]] = {
    22: {"frozen": True},
    23: {"fps": 3.0},
    24: {"silent": True},
    25: {"black": True},
    26: {"half_size": True},
    27: {"swapped": True},
}
_ON_ARM: dict[int, Callable[[EmulatedArm, Where], Undo]] = {
    28: lambda arm, at: _set(_servo(arm, at), frozen=True),
    29: _jump,
    30: lambda arm, at: _set(arm.line, drop_next=1),
    31: lambda arm, at: _set(arm.line, corrupt_next=1),
    32: lambda arm, at: _set(arm.line, delay_next=at.seconds or 0.09),
    33: lambda arm, at: _set(arm.line, loss=at.share),
    34: _kill,
    35: _kill,
    36: lambda arm, at: _set(_servo(arm, at), forced=_servo(arm, at).forced | OVERLOAD),
    37: lambda arm, at: _report(_servo(arm, at), Present_Temperature=75),
    38: _low_voltage,
    39: lambda arm, at: _registers(_servo(arm, at), Model_Number=STS3250),
    40: lambda arm, at: _registers(_servo(arm, at), Firmware_Minor_Version=9),
    41: _reset,
    42: _unplug,
    44: lambda arm, at: _registers(_servo(arm, at), Homing_Offset=_servo(arm, at).get("Homing_Offset") + 100),
    46: _stale_goal,
    47: _outside,
}
LASTS = {33: 5.0}
"""Faults that end by themselves, after so many seconds unless ``seconds`` says otherwise."""
