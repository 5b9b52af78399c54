"""The three states of an arm under guard, and the only ways between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from robo_reward.errors import UserError

NOT_ARMED = "not armed"
"""The reason of the first HOLD: nothing went wrong yet."""
LEFT = "left in order, not armed"
"""The reason of a HOLD in which a program left the arm that had nothing to complain of."""
NOTHING_WRONG = (NOT_ARMED, LEFT)
"""Whoever arms after these need not say that a person has seen to the reason: ``rearm`` must keep its meaning."""


class State(StrEnum):
    """HOLD: powered, at rest (IEC 60204-1: stop category 2). RUN: follows goals. FAULT: no torque (category 0)."""

    HOLD = "HOLD"
    RUN = "RUN"
    FAULT = "FAULT"


class SafetyStop(UserError):
    """The arm was stopped and stays so until a person arms it again (exit code 3)."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Event:
    """One change of state: ``at`` is seconds of the monotonic clock, ``latched`` that only a person ends it."""

    at: float
    state: State
    reason: str
    latched: bool


class SafetyState:
    """HOLD until armed; a latched HOLD needs ``arm``, a FAULT needs ``clear`` and then ``arm``.

    A late command or reading holds without a latch, for it mends itself; an action that is wrong in kind (not a
    number, unknown joint) latches, because a source that sent one is no longer believed: alternating good and bad
    actions must not make the arm move in fits.
    """

    def __init__(self, heard: Callable[[Event], None]) -> None:
        self.state = State.HOLD
        self.reason = NOT_ARMED
        self.latched = True
        self.heard = heard
        self.faults = 0
        """How often a FAULT was asked for, in FAULT too: a reset under way must not outlive an emergency stop."""

    @property
    def stopped(self) -> bool:
        """True where no command will move the arm until a person acts."""
        return self.latched

    def arm(self, now: float) -> None:
        """Lets goals move the arm. Raises SafetyStop in FAULT, whose cause must be cleared first."""
        if self.state is State.FAULT:
            raise SafetyStop(f"the arm is in FAULT ({self.reason}): mend the cause, then ask for a reset")
        self._change(now, State.HOLD, "armed, waiting for a goal", latched=False)

    def run(self, now: float) -> None:
        """Follows goals from now on; without effect while latched."""
        if not self.latched:
            self._change(now, State.RUN, "", latched=False)

    def hold(self, now: float, reason: str, *, latch: bool = False) -> None:
        """Brakes and stays powered. The first latched reason stays: it is the one to look into."""
        if not self.latched:
            self._change(now, State.HOLD, reason, latched=latch)

    def fault(self, now: float, reason: str) -> None:
        """Cuts torque. The first fault's reason stays."""
        self.faults += 1
        if self.state is not State.FAULT:
            self._change(now, State.FAULT, reason, latched=True)

    def clear(self, now: float, faults: int) -> bool:
        """After the cause of a FAULT is gone and torque is back: HOLD, still to be armed.

        ``faults``: how many there had been when the reset was asked for; False, and still FAULT, after another one.
        """
        if faults != self.faults:
            return False
        self._change(now, State.HOLD, "fault cleared, not armed", latched=True)
        return True

    def _change(self, now: float, state: State, reason: str, *, latched: bool) -> None:
        if (state, reason, latched) != (self.state, self.reason, self.latched):
            self.state, self.reason, self.latched = state, reason, latched
            self.heard(Event(now, state, reason, latched))
