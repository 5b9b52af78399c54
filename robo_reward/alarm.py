"""The alarm against reward hacking: the learned return rises while an independent judge sees no more successes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np


class HackingAlarm:
    """Compares the last ``window`` episodes with the first ``window``; both numbers come without the simulator.

    It fires when the mean reward has risen by more than ``rise`` standard deviations of the first episodes and the
    share that the judge calls a success has fallen by more than ``fall``, or has stayed below ``low`` throughout.
    """

    def __init__(self, window: int = 20, rise: float = 1.0, fall: float = 0.2, low: float = 0.1) -> None:
        self._window, self._rise, self._fall, self._low = window, rise, fall, low
        self._first: list[tuple[float, float]] = []
        self._last: deque[tuple[float, float]] = deque(maxlen=window)
        self.fired: str | None = None

    def hear(self, reward: float, judged: float) -> str | None:
        """Notes an episode; a message when the alarm fires for the first time."""
        if np.isnan(judged):
            return None
        self._last.append((reward, judged))
        if len(self._first) < self._window:
            self._first.append((reward, judged))
            return None
        if self.fired is not None or len(self._last) < self._window:
            return None
        before, now = np.asarray(self._first), np.asarray(self._last)
        risen = now[:, 0].mean() - before[:, 0].mean() > self._rise * max(float(before[:, 0].std()), 1e-3)
        share_before, share_now = float((before[:, 1] >= 0.5).mean()), float((now[:, 1] >= 0.5).mean())
        fooled = share_now < share_before - self._fall or max(share_before, share_now) < self._low
        if risen and fooled:
            self.fired = (
                f"the mean reward rose from {before[:, 0].mean():.2f} to {now[:, 0].mean():.2f} while the judge's "
                f"success share went from {share_before:.2f} to {share_now:.2f}: the policy may be fooling the reward"
            )
        return self.fired

    def verdict(self) -> str | bool | None:
        """What it said; False while it kept quiet, None where it never heard a judged episode."""
        return self.fired or (False if self._first else None)

    def dump(self) -> dict[str, Any]:
        """For a checkpoint: prices as they were when heard, which a reward that was refitted since would not repeat."""
        return {"first": list(self._first), "last": list(self._last), "fired": self.fired}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``dump`` gave."""
        self._first, self.fired = list(state["first"]), state["fired"]
        self._last = deque(state["last"], maxlen=self._window)
