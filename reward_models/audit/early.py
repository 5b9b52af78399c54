"""What a reward says long before success: a place on the way that is worth as much as the end is a place to park at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Estimate, Floats
from robo_reward.reward_models.audit.audit_episodes import AuditEpisode
from robo_reward.reward_models.audit.probe import CALLED, success_frame, tail
from robo_reward.trace import Trace

EARLY = 0.7
"""Of the time to success: what comes before is well before it, however many frames late or early the labels are."""


def until_success(trace: Trace, said: Estimate) -> Floats:
    """Progress (K,) up to and with the first priced frame that shows success: what follows has no order."""
    return said.progress[: max(2, success_frame(trace) + 1)]


def early_success(successes: Sequence[tuple[Trace, Estimate]]) -> float | None:
    """The share of frames well before success that are called successes, mean over the episodes; None without such."""
    shares = [float((said.success[early] >= CALLED).mean()) for early, said, _ in _rows(successes)]
    return float(np.mean(shares)) if shares else None


def early_gap(successes: Sequence[tuple[Trace, Estimate]]) -> float | None:
    """How far the best progress well before success is below progress at success, mean over the episodes."""
    gaps = [float(said.progress[done:].mean() - said.progress[early].max()) for early, said, done in _rows(successes)]
    return float(np.mean(gaps)) if gaps else None


def largest_fall(successes: Sequence[tuple[Trace, Estimate]]) -> float | None:
    """The deepest fall of progress on the way to success, from any earlier frame, mean over the episodes."""
    ways = [said.progress[: done + 1] for _, said, done in _rows(successes)]
    return float(np.mean([np.max(np.maximum.accumulate(way) - way) for way in ways])) if ways else None


def early_figures(
    won: Sequence[tuple[AuditEpisode, Estimate]], near: Sequence[tuple[AuditEpisode, Estimate]]
) -> dict[str, float | None]:
    """The three figures; near misses that stop well before success count by their last third, the worse group holds."""
    successes = [(a.trace, e) for a, e in won]
    called, gap = early_success(successes), early_gap(successes)
    resting = [e for a, e in near if a.stopped <= EARLY]
    if resting and called is not None and gap is not None:
        level = float(np.mean([e.progress[success_frame(trace) :].mean() for trace, e in successes]))
        called = max(called, float(np.mean([tail(e.success >= CALLED) for e in resting])))
        gap = min(gap, level - float(np.mean([tail(e.progress) for e in resting])))
    return {"early_success": called, "early_gap": gap, "largest_fall": largest_fall(successes)}


def _rows(successes: Sequence[tuple[Trace, Estimate]]) -> list[tuple[NDArray[np.bool_], Estimate, int]]:
    """(which frames are well before success, estimate, first successful frame), of episodes that have two such."""
    rows = []
    for trace, said in successes:
        first = trace.success_step
        early = trace.frame_steps <= EARLY * (len(trace) if first is None else first)
        if early.sum() > 1:
            rows.append((early, said, success_frame(trace)))
    return rows
