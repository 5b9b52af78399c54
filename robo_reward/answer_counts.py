"""Carries what a reward model counts about its own answers into ``summary.json``.

Any reward model may have ``parse_failures: int`` (answers that could not be read) and ``fallbacks: int`` (estimates
that were replaced for that reason); a model without them leaves null in the summary, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robo_reward.runs.summary import Summary

COUNTED = ("parse_failures", "fallbacks")


def counts_of(model: Any, before: Mapping[str, int] | None = None) -> dict[str, int]:
    """What ``model`` has counted so far, on top of what was counted ``before`` a resume; empty if it counts nothing."""
    own = {name: getattr(model, name, None) for name in COUNTED}
    return {name: int(value) + int((before or {}).get(name, 0)) for name, value in own.items() if value is not None}


def note_counts(summary: Summary, *models: Any, before: Mapping[str, int] | None = None) -> None:
    """Writes the models' counts, added up, into the summary."""
    for name in COUNTED:
        values = [counts[name] for counts in map(counts_of, models) if name in counts]
        if values:
            setattr(summary, name, sum(values) + int((before or {}).get(name, 0)))
