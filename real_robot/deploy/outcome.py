"""What came of an episode, as numbers and as a line of ``episodes.jsonl``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robo_reward.arm.episode import ArmEpisode
from robo_reward.trace import Trace


@dataclass(frozen=True)
class Outcome:
    """``reason``: why it ended. ``success``: what a person or the twin says, None where nobody did."""

    number: int
    reason: str
    stopped: bool
    """True where the guard or the loop stopped the arm."""
    trace: Trace | None
    counts: dict[str, int]
    timing: dict[str, float | None]
    events: list[dict[str, Any]]
    progress: list[tuple[float, float]] = field(default_factory=list)
    success: bool | None = None
    success_by: str | None = None
    episode: ArmEpisode | None = None
    """What learning on the arm needs of it."""

    def line(self) -> dict[str, Any]:
        """Everything but the episode itself."""
        return {
            "episode": self.number,
            "reason": self.reason,
            "stopped": self.stopped,
            "success": self.success,
            "success_by": self.success_by,
            "steps": 0 if self.trace is None else len(self.trace),
            **self.counts,
            "timing": self.timing,
            "final_progress": self.progress[-1][1] if self.progress else None,
            "progress": [[round(t, 3), round(p, 4)] for t, p in self.progress],
            "events": self.events,
        }


COUNTS = ("sent", "by_hand", "late", "replaced", "skipped", "starved", "paused", "refused")


def counts_of(record: Any, schedule: Any, metronome: Any) -> dict[str, int]:
    """Periods in which goals were sent, refused, missing; actions that came late; periods that were skipped."""
    held = dict.fromkeys(COUNTS, 0) | dict(record.counts)
    return held | {"late": schedule.late, "replaced": schedule.replaced, "skipped": metronome.skipped}


def timing_of(lateness: Sequence[float], thinking: Sequence[float]) -> dict[str, float | None]:
    """Milliseconds: how late periods began, and how long the policy thought."""
    return {
        "jitter_ms_p50": _percentile(lateness, 50),
        "jitter_ms_p99": _percentile(lateness, 99),
        "jitter_ms_max": _percentile(lateness, 100),
        "policy_ms_p50": _percentile(thinking, 50),
        "policy_ms_p99": _percentile(thinking, 99),
    }


def _percentile(seconds: Sequence[float], share: float) -> float | None:
    return round(float(np.percentile(np.asarray(seconds), share)) * 1000, 3) if len(seconds) else None
