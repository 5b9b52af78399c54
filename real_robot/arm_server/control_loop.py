"""The loop at a fixed rate: read, decide, write; it calls no model and waits for nobody."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from robo_reward.real_robot.arm_driver import ArmDriver, Reading, read_surely
from robo_reward.real_robot.black_box import BlackBox
from robo_reward.real_robot.braking import Floats
from robo_reward.real_robot.guard import Guard
from robo_reward.real_robot.safety_state import State

LEAD = 0.5
"""Share of a period before the next goal is due at which the arm is read: reading takes a few milliseconds."""
DECIDED = 0.2
"""Share before it at which the goal is decided: limits and workspace take a millisecond, and what comes later waits."""
LATE_PERIODS = 5
BRAKE_SECONDS = 5.0
"""For coming to rest, and beyond what the way takes for parking."""
ARRIVED_PERIODS = 25
CUT_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the arm looked like last; ``read_at`` is monotonic seconds, ``position`` and ``goal`` are (J,)."""

    read_at: float
    position: tuple[float, ...]
    goal: tuple[float, ...]
    blocked: bool
    reset_failed: str = ""
    torque: Mapping[str, str] = field(default_factory=dict)
    """After a cut: {joint: "off" or what went wrong}."""


@dataclass
class ControlLoop:
    """Two goals are never sent closer than one period, so that limits hold in seconds and not only in steps.

    A loop that was late does not catch up. ``rest`` (J,) is where ``ask_stop`` parks.
    """

    arm: ArmDriver
    guard: Guard
    box: BlackBox
    rest: Floats | None = None
    torque: Mapping[str, str] = field(default_factory=dict)
    """After a cut: {joint: "off" or what went wrong}."""
    ticks: int = 0
    late: int = 0
    snapshot: Snapshot = field(init=False)
    _written_at: float = 0.0
    _cut_at: float = -np.inf
    _stop: str = ""
    _park: bool = False
    _rested: int = 0
    _reset: bool = False
    _reset_failed: str = ""
    _faults: int = 0

    def __post_init__(self) -> None:
        self._publish()

    @property
    def ending(self) -> bool:
        """Whether it was asked to stop: nobody may arm it any more."""
        return bool(self._stop)

    def ask_stop(self, reason: str, *, park: bool) -> None:
        """Brakes, parks if asked and told where, then ends ``run``. Asked twice, it ends at once."""
        if self._stop:
            self.guard.fault(time.monotonic(), f"{reason}, the second time")
        self._park, self._stop = park and not self._stop, reason

    def ask_hold(self, reason: str, *, call_off: bool) -> None:
        """Brakes and holds, latched. Only a person's word calls off a stop under way: who says hold does not want the
        arm to sink. A program's has no effect then: it would end the parking half-way.
        """
        if call_off:
            self._stop, self._park = "", False
        if not self._stop:
            self.guard.hold(time.monotonic(), reason)

    def ask_reset(self) -> None:
        """Tries to leave FAULT before the next period; ``snapshot.reset_failed`` says why if it could not."""
        self._faults, self._reset_failed = self.guard.state.faults, ""
        self.snapshot = replace(self.snapshot, reset_failed="")  # what is told now is not of the last one
        self._reset = True

    def run(self) -> None:
        """Until stopped. Torque is still on afterwards, unless in FAULT: the caller cuts it."""
        period, ended = self.guard.limiter.period, False
        while not ended:
            while not self._stop:
                self._period(period)
                self._check_box()
            ended = self._end(period, self._stop)

    def _end(self, period: float, reason: str) -> bool:
        """Comes to rest and parks if asked to; False where a person called it off, or the arm could not be parked:
        it is held then, powered, for it would drop from wherever it is.
        """
        self._event("stop", reason)
        self.guard.hold(time.monotonic(), reason)
        self._until(period, time.monotonic() + BRAKE_SECONDS, lambda: self.guard.resting)
        if self._park and self.rest is not None and self.guard.state.state is not State.FAULT:
            self._go_to_rest(period, self.rest)
        return bool(self._stop)

    def _go_to_rest(self, period: float, rest: Floats) -> None:
        seconds = 2 * BRAKE_SECONDS + 1.5 * self.guard.gentle_seconds(rest)
        self.guard.park(time.monotonic(), rest)
        self._rested = 0
        self._until(period, time.monotonic() + seconds, self._arrived)
        if self._stop and self._rested <= ARRIVED_PERIODS and self.guard.state.state is not State.FAULT:
            self._stop, self._park = "", False
            self.guard.hold(time.monotonic(), f"it could not be parked within {seconds:.0f} s")

    def _check_box(self) -> None:
        """An arm whose record cannot be written is held, and armed again once it can."""
        if self.box.trouble:
            self.guard.hold(time.monotonic(), f"the black box cannot be written: {self.box.trouble}")

    def _arrived(self) -> bool:
        """At rest for a while: there, or as near as the workspace lets it; one missed reading is no arrival."""
        self._rested = self._rested + 1 if self.guard.resting else 0
        return self._rested > ARRIVED_PERIODS

    def _until(self, period: float, deadline: float, done: Any) -> None:
        while self._stop and not done() and time.monotonic() < deadline:
            if self.guard.state.state is State.FAULT:
                return
            self._period(period)

    def _period(self, period: float) -> None:
        due = self._written_at + period
        time.sleep(max(0.0, due - LEAD * period - time.monotonic()))
        if self._reset:
            self._try_reset()
        began = time.monotonic()
        if self._written_at and began - due > LATE_PERIODS * period:
            self.guard.pause(began, f"the control loop was {began - due:.2f} s late")
        reading, trouble = self._read()
        time.sleep(max(0.0, due - DECIDED * period - time.monotonic()))
        goal = self.guard.decide(time.monotonic(), reading)
        if goal is None:
            self._cut()
            self._written_at = time.monotonic()
        else:
            time.sleep(max(0.0, due - time.monotonic()))
            self.late += time.monotonic() - due > period and self.ticks > 0
            self._written_at = time.monotonic()
            trouble = self._write(goal) or trouble
        self._publish()
        self._record(began, reading, trouble)
        self.ticks += 1

    def _read(self) -> tuple[Reading | None, str]:
        try:
            return self.arm.read(), ""
        except Exception as error:  # a cable that is pulled is a termios.error, not an OSError
            return None, f"read: {type(error).__name__}: {error}"

    def _write(self, goal: Floats) -> str:
        try:
            self.arm.write(goal)
        except Exception as error:
            self.guard.pause(time.monotonic(), "a goal could not be sent")
            return f"write: {type(error).__name__}: {error}"
        return ""

    def _cut(self) -> None:
        """At once, and again every second while any motor may still be powered."""
        done = self.torque and all(told == "off" for told in self.torque.values())
        if not done and time.monotonic() - self._cut_at > CUT_AGAIN_SECONDS:
            self.torque = dict(self.arm.cut())
            self._cut_at = time.monotonic()
            self._event("torque", self.torque)
            self.box.sync()

    def _try_reset(self) -> None:
        self._reset, self._reset_failed = False, ""
        if self.guard.state.state is not State.FAULT:
            return
        self._cut()  # a reset that comes right behind the fault
        try:
            self._check_cause(replace(read_surely(self.arm), torque=None))  # before there is any torque
            self.arm.power()
            self._check_cause(read_surely(self.arm))
        except Exception as error:
            self.torque, self._reset_failed = dict(self.arm.cut()), str(error)
            self._event("reset refused", self._reset_failed)
            return
        if self.guard.clear(time.monotonic(), self._faults):
            self.torque, self._cut_at, self._written_at = {}, -np.inf, 0.0
        else:  # an emergency stop that came meanwhile stays one
            self.torque, self._reset_failed = dict(self.arm.cut()), f"{self.guard.state.reason}, again meanwhile"

    def _check_cause(self, reading: Reading) -> None:
        """Begins anew from a reading; raises where it still shows what a FAULT is for."""
        now = time.monotonic()
        self.guard.limiter.check_start(reading.position)
        self.guard.start(now, reading.position)
        cause = self.guard.watches.see(now, reading, reading.position)
        if cause:
            raise RuntimeError(cause)

    def _publish(self) -> None:
        guard = self.guard
        position = guard.watches.position
        self.snapshot = Snapshot(
            read_at=guard.watches.read_at,
            position=() if position is None else tuple(position.tolist()),
            goal=tuple(guard.limiter.command[0].tolist()) if len(guard.limiter.command) else (),
            blocked=bool(guard.limiter.blocked.any()),
            reset_failed=self._reset_failed,
            torque=dict(self.torque),
        )

    def _record(self, began: float, reading: Reading | None, trouble: str) -> None:
        shot = self.snapshot
        record: dict[str, Any] = {"t": began, "state": self.guard.state.state, "goal": shot.goal}
        if reading is not None:
            record["position"] = reading.position.tolist()
            record["current"] = None if reading.current is None else np.round(reading.current, 3).tolist()
        if shot.blocked:
            record["blocked"] = True
        if trouble:
            record["trouble"] = trouble
        self.box.add(record)

    def _event(self, kind: str, value: Any) -> None:
        self.box.add({"t": time.monotonic(), "event": kind, "value": value})
