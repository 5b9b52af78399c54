"""The beat of a loop: which period it is now, counted from the start; a late loop skips and never catches up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Metronome:
    """Period n begins at ``start + n / fps``. ``clock`` and ``sleep`` are those of monotonic time, or a test's own."""

    fps: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    skipped: int = 0
    """Periods that passed while the loop was busy with an earlier one."""
    lateness: list[float] = field(default_factory=list)
    """Seconds by which each period's work began after its time."""
    _start: float = 0.0
    _last: int = -1

    def begin(self) -> None:
        """Period 0 begins now."""
        self._start, self._last = self.clock(), -1

    def period(self) -> int:
        """The number of the period that time is in."""
        return int((self.clock() - self._start) * self.fps + 1e-9)

    def ends(self, period: int) -> float:
        """When a period ends, in seconds of ``clock``."""
        return self._start + (period + 1) / self.fps

    def wait(self) -> int:
        """Sleeps until the next period begins, if it has not; its number, always above the last one."""
        upcoming = self._last + 1
        due = self._start + upcoming / self.fps
        ahead = due - self.clock()
        if ahead > 0:
            self.sleep(ahead)
        now = max(self.period(), upcoming)
        self.skipped += now - upcoming
        self.lateness.append(max(0.0, self.clock() - (self._start + now / self.fps)))
        self._last = now
        return now
