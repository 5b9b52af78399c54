"""Watches each reading of the arm for what must end in FAULT: heat, voltage, current, a jam, a jump, a lost bus."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError
from robo_reward.real_robot.arm_driver import Reading
from robo_reward.real_robot.braking import Floats
from robo_reward.real_robot.limits import JointLimits

STATUS_BITS = {1: "voltage", 2: "angle", 4: "overheating", 8: "current", 32: "overload"}
"""Error bits of a Feetech STS servo (and of Dynamixel's protocol 1, where they have the same places)."""


ABOVE_ZERO = ("temperature", "current", "current_time", "tracking", "tracking_time", "fastest", "bus_lost")


@dataclass(frozen=True)
class WatchPlan:
    """The thresholds; the time that each must last is beside it. Defaults suit an SO-101 with 5 V to 12 V servos."""

    temperature: float = 65.0
    """Degrees Celsius; the STS3215 itself gives up at 70."""
    voltage: tuple[float, float] = (6.0, 14.0)
    current: float = 1.5
    """Ampere per motor, for ``current_time`` seconds."""
    current_time: float = 1.0
    tracking: float = 15.0
    """Difference between command and position, in the joint's unit, for ``tracking_time`` seconds."""
    tracking_time: float = 0.5
    untracked: tuple[str, ...] = ("gripper",)
    """Joints that may be kept from their goal: a gripper that holds something."""
    outside: float = 3.0
    """How far a measured position may lie outside the calibrated range."""
    fastest: float = 600.0
    """Units per second that no joint can move: a reading that says so is wrong."""
    reading_age: float = 0.1
    """Seconds without a fresh reading until HOLD."""
    bus_lost: float = 0.5
    """Seconds without a fresh reading until FAULT."""

    def __post_init__(self) -> None:
        if not 0 < self.reading_age < self.bus_lost:
            raise UserError(f"reading_age={self.reading_age} must be above 0 and below bus_lost={self.bus_lost}")
        if not self.voltage[0] < self.voltage[1]:
            raise UserError(f"voltage={self.voltage} must be (lowest, highest)")
        for name in ABOVE_ZERO:
            if not 0 < getattr(self, name) < np.inf:  # a watch that compares with NaN would be silently off
                raise UserError(f"watches.{name}={getattr(self, name)} must be a finite number above 0")
        if not 0 <= self.outside < np.inf:
            raise UserError(f"watches.outside={self.outside} must be a finite number, at least 0")


@dataclass
class Watches:
    """Keeps how long each trouble has lasted; ``now`` is seconds of the monotonic clock."""

    plan: WatchPlan
    limits: JointLimits
    position: Floats | None = None
    """The last position (J,) that was believed."""
    read_at: float = 0.0
    jumps: int = 0
    _since: dict[str, float] = field(default_factory=dict)

    def start(self, now: float, position: Floats) -> None:
        """Forgets all troubles and begins with a position (J,)."""
        self.position, self.read_at, self.jumps = position, now, 0
        self._since.clear()

    def age(self, now: float) -> float:
        """Seconds since the last believed reading."""
        return now - self.read_at

    def missed(self, now: float) -> str:
        """No reading this period: the reason for FAULT, or empty."""
        lost = self.age(now)
        return f"bus lost: no reading for {lost:.2f} s" if lost > self.plan.bus_lost else ""

    def see(self, now: float, reading: Reading, command: Floats) -> str:
        """A fresh reading beside the command (J,) it should follow: the reason for FAULT, or empty."""
        if not np.isfinite(reading.position).all() or self._jumped(now, reading.position):
            self.jumps += 1
            return "the measured position jumps, three readings in a row" if self.jumps >= 3 else self.missed(now)
        self.position, self.read_at, self.jumps = reading.position, now, 0
        return self._registers(now, reading) or self._motion(now, reading.position, command)

    def _jumped(self, now: float, position: Floats) -> bool:
        reach = self.plan.fastest * max(self.age(now), 0.005) + 2.0
        return self.position is not None and bool((np.abs(position - self.position) > reach).any())

    def _registers(self, now: float, reading: Reading) -> str:
        plan = self.plan
        if reading.temperature is not None and (reading.temperature > plan.temperature).any():
            at = int(np.argmax(reading.temperature))
            return f"motor '{self._name(at)}' is at {reading.temperature[at]:.0f} C, above {plan.temperature:g}"
        low, high = plan.voltage
        if reading.voltage is not None and ((reading.voltage < low) | (reading.voltage > high)).any():
            at = int(np.argmax((reading.voltage < low) | (reading.voltage > high)))
            return f"motor '{self._name(at)}' has {reading.voltage[at]:.1f} V, outside {low:g} to {high:g}"
        if reading.status is not None and reading.status.any():
            at = int(np.argmax(reading.status != 0))
            bits = [name for bit, name in STATUS_BITS.items() if int(reading.status[at]) & bit]
            return f"motor '{self._name(at)}' reports {' and '.join(bits) or 'an error'}"
        if reading.torque is not None and not reading.torque.all():
            return f"motor '{self._name(int(np.argmin(reading.torque)))}' lost its torque: was it reset?"
        if reading.current is None:
            return ""
        strong = np.abs(reading.current) > plan.current
        return self._lasting(now, "current", strong, plan.current_time, f"draws more than {plan.current:g} A")

    def _motion(self, now: float, position: Floats, command: Floats) -> str:
        low, high = self.limits.hard_lower - self.plan.outside, self.limits.hard_upper + self.plan.outside
        outside = (position < low) | (position > high)
        if outside.any():
            at = int(np.argmax(outside))
            return f"joint '{self._name(at)}' is at {position[at]:.1f}, outside its calibrated range"
        tracked = np.array([name not in self.plan.untracked for name in self.limits.names])
        behind = (np.abs(command - position) > self.plan.tracking) & tracked
        what = f"does not follow: more than {self.plan.tracking:g} behind"
        return self._lasting(now, "tracking", behind, self.plan.tracking_time, what)

    def _lasting(self, now: float, trouble: str, where: NDArray[np.bool_], allowed: float, what: str) -> str:
        """A reason once any motor has had the trouble for longer than ``allowed`` seconds."""
        reason = ""
        for at, name in enumerate(self.limits.names):
            key = f"{trouble} {name}"
            if not where[at]:
                self._since.pop(key, None)
            elif now - self._since.setdefault(key, now) > allowed:
                reason = reason or f"joint '{name}' {what} for {allowed:g} s"
        return reason

    def _name(self, at: int) -> str:
        return self.limits.names[at]
