"""What a check said of the last episodes, told apart by task: a share is compared with one of the same tasks alone."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any

Kept = Mapping[str, Sequence[float]]
"""Instruction -> 1 for a success and 0 for a failure, newest last."""


class Verdicts:
    """The last ``window`` verdicts, as evenly from all tasks as may be: of T tasks the last window / T of each."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._said: dict[str, deque[float]] = {}
        self._new: set[str] = set()

    def add(self, task: str, good: bool) -> None:
        """Notes one more."""
        self._said.setdefault(task, deque(maxlen=self._window)).append(float(good))
        self._new.add(task)

    @property
    def full(self) -> bool:
        """Whether there are as many as the window holds."""
        return sum(len(said) for said in self._said.values()) >= self._window

    def last(self) -> dict[str, list[float]]:
        """The window; empty before anything was said."""
        each = math.ceil(self._window / max(1, len(self._said)))
        return {task: list(said)[-each:] for task, said in self._said.items()}

    def heard(self, tasks: Collection[str]) -> bool:
        """Whether something was said of one of ``tasks`` since ``mark``."""
        return not self._new.isdisjoint(tasks)

    def mark(self) -> None:
        """From now on ``heard`` begins anew."""
        self._new.clear()

    def clear(self) -> None:
        """Forgets all."""
        self._said.clear()
        self._new.clear()

    def state(self) -> dict[str, Any]:
        """For saving."""
        return {"said": {task: list(said) for task, said in self._said.items()}, "new": sorted(self._new)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        self._said = {task: deque(said, self._window) for task, said in state["said"].items()}
        self._new = set(state["new"])


def share(kept: Kept) -> float | None:
    """The mean over tasks of their successes; None without a task."""
    return _mean([_mean(said) for said in kept.values()]) if kept else None


def compared(now: Kept, then: Kept) -> tuple[float, float] | None:
    """The shares of both over the tasks that both have, each task by equally many of its last verdicts; None: no task.

    A task counts by how many verdicts it has in both, for a single one says little; one of which nothing was heard
    since is the same in both.
    """
    both = {task: min(len(now[task]), len(then[task])) for task in now if task in then}
    if not both:
        return None
    present, past = (
        _mean([one for task, count in both.items() for one in kept[task][-count:]]) for kept in (now, then)
    )
    return present, past


def _mean(said: Sequence[float]) -> float:
    return sum(said) / len(said)
