"""Decides, once a control period, what the arm may do: watches, state and limits together, without any arm."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from robo_reward.errors import UserError
from robo_reward.real_robot.action_check import ActionCheck
from robo_reward.real_robot.arm_driver import Reading
from robo_reward.real_robot.braking import Floats
from robo_reward.real_robot.limiter import Limiter
from robo_reward.real_robot.safety_state import SafetyState, State
from robo_reward.real_robot.watches import Watches

CLOCKS_APART = 0.05
"""Seconds by which a command may be newer than now: the clock is one, so anything newer has another one."""


@dataclass(frozen=True)
class CommandPlan:
    """How old what a command is may be (seconds), and how gently motion begins after arming."""

    timeout: float = 0.15
    """Without a fresh command for so long: HOLD, until a fresh one comes."""
    observation_age: float = 0.5
    """A command computed from an older observation is dropped."""
    gentle_time: float = 1.0
    gentle_speed: float = 0.25
    """Share of the velocity limit for ``gentle_time`` after arming."""

    def __post_init__(self) -> None:
        if not 0 < self.timeout <= self.observation_age:
            raise UserError(
                f"timeout={self.timeout} must be above 0 and at most observation_age={self.observation_age}"
            )
        if not np.isfinite([self.timeout, self.observation_age]).all():
            raise UserError(f"timeout={self.timeout} and observation_age={self.observation_age} must be finite seconds")
        if not 0 < self.gentle_speed <= 1:
            raise UserError(f"gentle_speed={self.gentle_speed} must lie above 0 and at most at 1")
        if not 0 <= self.gentle_time < np.inf:
            raise UserError(f"gentle_time={self.gentle_time} must be 0 or more seconds")


@dataclass(frozen=True, slots=True)
class Command:
    """A goal {joint: number} with its number in order; times are seconds of the monotonic clock, made by the sender."""

    sequence: int
    sent_at: float
    observed_at: float
    goal: object


class Guard:
    """Safe to call from two threads: commands come in on one, ``decide`` is called on the other."""

    def __init__(self, limiter: Limiter, watches: Watches, state: SafetyState, plan: CommandPlan | None = None) -> None:
        self.limiter = limiter
        self.watches = watches
        self.state = state
        self.plan = plan or CommandPlan()
        self.check = ActionCheck(limiter.limits)
        self.lock = threading.RLock()  # a signal may come while its own thread decides
        self.dropped = 0
        """Commands that were too old or out of order."""
        self._target: Floats | None = None
        self._fresh_at = -np.inf
        self._sequence = -1
        self._armed_at = -np.inf
        self._parking = False

    def start(self, now: float, position: Floats) -> None:
        """The arm stands at (J,), powered: the limits begin there."""
        with self.lock:
            self.limiter.start(position[None])
            self.watches.start(now, position)
            self._forget()

    def arm(self, now: float) -> None:
        """A person, or a program that a person has just started, lets the arm move. Raises SafetyStop in FAULT."""
        with self.lock:
            self._forget()
            self.state.arm(now)
            self._armed_at = now

    def submit(self, now: float, command: Command) -> str:
        """Takes a command; a reason where it was not taken. A goal that cannot be meant latches HOLD."""
        with self.lock:
            if self._parking:
                self.dropped += 1
                return "the arm is being parked"
            read = self.check.read(command.goal)
            if isinstance(read, str):
                self._target = None
                self.state.hold(now, read, latch=True)
                return read
            stale = self._stale(now, command)
            if stale:
                self.dropped += 1
                return stale
            self._sequence, self._fresh_at, self._target = command.sequence, now, read
            return ""

    def _stale(self, now: float, command: Command) -> str:
        if command.sequence <= self._sequence:
            return f"command {command.sequence} came after {self._sequence}"
        if not (command.sent_at <= now + CLOCKS_APART and command.observed_at <= now + CLOCKS_APART):
            return f"command {command.sequence} is dated in the future: its times must be of the monotonic clock"
        if now - command.sent_at > self.plan.timeout:
            return f"command {command.sequence} was {now - command.sent_at:.2f} s on its way"
        if now - command.observed_at > self.plan.observation_age:
            return f"command {command.sequence} answers an observation of {now - command.observed_at:.2f} s ago"
        return ""

    def hold(self, now: float, reason: str) -> None:
        """Stops until armed again: the one who commanded is gone, or somebody asks for it."""
        with self.lock:
            self._forget()
            self.state.hold(now, reason, latch=True)

    def leave(self, now: float, reason: str) -> None:
        """``hold`` for a commander that is gone or not to be believed, which does not end a parking under way."""
        with self.lock:
            if not self._parking:
                self.hold(now, reason)

    def park(self, now: float, pose: Floats) -> None:
        """Goes to the pose (J,) gently and takes no other command, because a person asked for it."""
        with self.lock:
            self.state.arm(now)
            self._parking = True
            self._target, self._fresh_at, self._sequence = pose, np.inf, np.iinfo(np.int64).max
            self._armed_at = np.inf  # gentle all the way

    def pause(self, now: float, reason: str) -> None:
        """Brakes in this period and goes on with the next fresh command."""
        with self.lock:
            self.state.hold(now, reason)

    def wait(self, now: float, reason: str) -> None:
        """Brakes in this period, drops the goal that it had, and goes on with the next fresh command.

        Not while it is being parked: whoever commanded has no say any more.
        """
        with self.lock:
            if self._parking:
                return
            self._target, self._fresh_at = None, -np.inf
            self.state.hold(now, reason)

    @property
    def resting(self) -> bool:
        """True where the commands have come to rest."""
        return not self.limiter.velocity.any()

    def clear(self, now: float, faults: int) -> bool:
        """See ``SafetyState.clear``."""
        with self.lock:
            return self.state.clear(now, faults)

    def gentle_seconds(self, pose: Floats) -> float:
        """How long the joints take to the pose (J,) as gently as they park."""
        way = np.abs(pose - self.limiter.command[0])
        return float((way / (self.limiter.limits.velocity * self.plan.gentle_speed)).max())

    def fault(self, now: float, reason: str) -> None:
        """Torque off at the next period: the emergency stop."""
        with self.lock:
            self._forget()
            self.state.fault(now, reason)

    def decide(self, now: float, reading: Reading | None) -> Floats | None:
        """The goal (J,) of this period; None in FAULT, where torque must be off. ``reading`` None: the bus failed."""
        with self.lock:
            watches, command = self.watches, self.limiter.command[0]
            trouble = watches.missed(now) if reading is None else watches.see(now, reading, command)
            if trouble and self.state.state is not State.FAULT:  # one without torque shows it every period
                self.state.fault(now, trouble)
            if self.state.state is State.FAULT:
                return None
            self._follow(now)
            running = self.state.state is State.RUN and self._target is not None
            gentle = now - self._armed_at < self.plan.gentle_time
            target = self._target[None] if running and self._target is not None else None
            emitted: Floats = self.limiter.step(target, self.plan.gentle_speed if gentle else 1.0)[0]
            return emitted

    def _follow(self, now: float) -> None:
        """RUN with a fresh command and reading, HOLD without."""
        if self.watches.age(now) > self.watches.plan.reading_age:
            self.state.hold(now, "no fresh reading of the joints")
        elif self._target is None or now - self._fresh_at > self.plan.timeout:
            if self.state.state is State.RUN:
                self.state.hold(now, f"no fresh command for {self.plan.timeout:g} s")
            self._target = None  # whoever comes back must say anew where to go
        else:
            self.state.run(now)

    def _forget(self) -> None:
        self._target, self._fresh_at, self._sequence, self._parking = None, -np.inf, -1, False
