"""Which action of which chunk is for this period: late ones are dropped, and none is sent twice or in a burst."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError


@dataclass(frozen=True, slots=True)
class Due:
    """An action (A,) for one period, and when the observation was made that it answers (monotonic seconds)."""

    action: NDArray[np.float32]
    observed_at: float


class ActionSchedule:
    """Action k of a chunk that answers period n's observation is for period n + k, then or never.

    Of two chunks the one with the newer observation decides. ``horizon``: at most so many actions of a chunk are used;
    what comes later answers an observation that is too old.
    """

    def __init__(self, horizon: int) -> None:
        if horizon < 1:
            raise UserError(f"horizon={horizon} must be at least 1 action of each chunk")
        self.horizon = horizon
        self.late = 0
        """Actions whose period had passed when they came."""
        self.replaced = 0
        """Actions that a newer chunk took the place of."""
        self.refused = 0
        """Chunks that came a second time, or after a newer one."""
        self._slots: dict[int, Due] = {}
        self._newest = -1

    def offer(self, chunk: NDArray[np.float32], period: int, observed_at: float, now: int) -> None:
        """Takes a chunk (K, A) that answers the observation of ``period``; it is period ``now``."""
        if period <= self._newest:
            self.refused += 1
            return
        self._newest = period
        for k, action in enumerate(chunk[: self.horizon]):
            if period + k < now:
                self.late += 1
                continue
            self.replaced += (period + k) in self._slots
            self._slots[period + k] = Due(action, observed_at)

    def due(self, now: int) -> Due | None:
        """The action for this period, once; what was for earlier ones is dropped and counted."""
        for period in [p for p in self._slots if p < now]:
            del self._slots[period]
            self.late += 1
        return self._slots.pop(now, None)

    def left(self, now: int) -> int:
        """How many actions wait for periods after ``now``."""
        return sum(period > now for period in self._slots)

    def forget_before(self, period: int) -> None:
        """Drops what waits; chunks that answer observations before ``period`` are refused from now on."""
        self._slots.clear()
        self._newest = max(self._newest, period - 1)
