"""One emulated STS3215: its memory, what it lets a host write, what it reports, how it drives its joint."""

from __future__ import annotations

from dataclasses import dataclass, field

from robo_reward.joint_goals import JointSpec
from robo_reward.real_robot.emulation.calibration import (
    TICKS_PER_RADIAN,
    MotorCalibration,
    angle_to_tick,
    tick_to_angle,
)
from robo_reward.real_robot.emulation.packets import OVERHEAT, OVERLOAD, VOLTAGE, from_sign_magnitude
from robo_reward.real_robot.emulation.registers import (
    EPROM_END,
    READ_ONLY,
    SIZE,
    TICKS,
    power_on_memory,
    register,
)

TOP_SPEED = 3400
"""Ticks per second of an unloaded servo at 7.4 V."""
ACCELERATION_UNIT = 100
"""Ticks per second squared of one step of the Acceleration register; 0 there means the strongest."""
STALL_CURRENT = 415
"""Present_Current at full torque: 2.7 A in steps of 6.5 mA."""
ROOM, HEATING, WARM_UP = 30.0, 40.0, 120.0
"""Degrees at rest, degrees more at full torque, seconds of the time constant."""


@dataclass(slots=True)
class Servo:
    """``mounted``: homing offset in ticks at which this servo would report its joint truly.

    Faults set the fields below ``memory``: ``forced`` error bits; ``reported``: register -> value instead of the true
    one; ``frozen``: the position report stands still; ``jump``: (ticks, how many more reports) added to the position.
    """

    joint: JointSpec
    calibration: MotorCalibration
    memory: bytearray = field(default_factory=power_on_memory)
    forced: int = 0
    reported: dict[str, int] = field(default_factory=dict)
    frozen: bool = False
    jump: tuple[int, int] = (0, 0)
    jammed: bool = False
    _saved: bytearray = field(default_factory=bytearray)
    _heat: float = ROOM

    def __post_init__(self) -> None:
        for name, key in (
            ("ID", "id"),
            ("Homing_Offset", "homing_offset"),
            ("Min_Position_Limit", "range_min"),
            ("Max_Position_Limit", "range_max"),
        ):
            self.set(name, self.calibration[key])  # type: ignore[literal-required]
        self._saved = self.memory[:EPROM_END]

    @property
    def id(self) -> int:
        """The address on the bus."""
        return self.get("ID")

    def get(self, name: str) -> int:
        """A register's value, signed where it is."""
        entry = register(name)
        word = int.from_bytes(self.memory[entry.address : entry.address + entry.width], "little")
        return word if entry.sign_bit is None else from_sign_magnitude(word, entry.sign_bit)

    def set(self, name: str, value: int) -> None:
        """Sets any register from inside, read-only ones too."""
        entry = register(name)
        self.memory[entry.address : entry.address + entry.width] = entry.encode(value)

    def read(self, address: int, count: int) -> bytes:
        """What a READ gets; beyond the memory's end there are zeros."""
        if address <= register("Present_Position").address < address + count and self.jump[1] > 0:
            self.jump = (self.jump[0], self.jump[1] - 1)
        return bytes(self.memory[address : address + count]).ljust(count, b"\0")

    def write(self, address: int, data: bytes) -> None:
        """What a WRITE does: read-only bytes stay; while Lock is 1 EPROM changes are lost with the power."""
        unlocked = self.get("Lock") == 0
        for place, byte in enumerate(data, address):
            if place >= SIZE or place in READ_ONLY:
                continue
            self.memory[place] = byte
            if unlocked and place < EPROM_END:
                self._saved[place] = byte

    def power_cycle(self) -> None:
        """A brown-out: what was saved comes back, the rest is as new, torque is off."""
        fresh = power_on_memory()
        fresh[:EPROM_END] = self._saved
        self.memory[:] = fresh

    @property
    def errors(self) -> int:
        """The error bits of every status packet now."""
        bits = self.forced
        if not self.get("Min_Voltage_Limit") <= self.get("Present_Voltage") <= self.get("Max_Voltage_Limit"):
            bits |= VOLTAGE
        if self.get("Present_Temperature") > self.get("Max_Temperature_Limit"):
            bits |= OVERHEAT
        return bits

    @property
    def powered(self) -> bool:
        """Whether torque is on."""
        return self.get("Torque_Enable") == 1

    def goal_angle(self) -> float:
        """Radians: the goal register, within the limit registers, as firmware clamps it."""
        tick = min(max(self.get("Goal_Position"), self.get("Min_Position_Limit")), self.get("Max_Position_Limit"))
        return tick_to_angle(tick + self._shift(), self.joint)

    def speed(self) -> float:
        """Bound in rad/s."""
        wanted = abs(self.get("Goal_Velocity"))
        return min(wanted or TOP_SPEED, TOP_SPEED) / TICKS_PER_RADIAN

    def acceleration(self) -> float:
        """Bound in rad/s^2."""
        wanted, most = self.get("Acceleration"), self.get("Maximum_Acceleration")
        return min(wanted or most, most) * ACCELERATION_UNIT / TICKS_PER_RADIAN

    def torque_share(self) -> float:
        """0 to 1; an overloaded servo falls back to Protective_Torque (percent)."""
        share = min(self.get("Torque_Limit"), self.get("Max_Torque_Limit"), 1000) / 1000
        return min(share, self.get("Protective_Torque") / 100) if self.forced & OVERLOAD else share

    def report(self, angle: float, speed: float, load: float, seconds: float) -> None:
        """Renews what can be read: radians, rad/s, share of full torque; ``seconds`` since the last report."""
        if not self.frozen:
            self.set("Present_Position", self._position(angle))
        self.set("Present_Velocity", max(-32767, min(32767, round(speed * TICKS_PER_RADIAN))))
        self.set("Present_Load", max(-1000, min(1000, round(load * 1000))))
        self.set("Present_Current", round(abs(load) * STALL_CURRENT))
        self.set("Moving", int(abs(speed) * TICKS_PER_RADIAN > 20))
        self._heat += (ROOM + HEATING * load * load - self._heat) * min(1.0, seconds / WARM_UP)
        self.set("Present_Temperature", round(self._heat))
        self.set("Present_Voltage", 74)
        for name, value in self.reported.items():
            self.set(name, value)
        self.set("Status", self.errors)

    def _position(self, angle: float) -> int:
        tick = angle_to_tick(angle, self.joint) - self._shift()
        if self.jump[1] > 0:
            tick += self.jump[0]
        return round(tick) % TICKS

    def _shift(self) -> int:
        """Ticks by which the homing offset in the register is off what the mounting needs."""
        return self.get("Homing_Offset") - self.calibration["homing_offset"]
