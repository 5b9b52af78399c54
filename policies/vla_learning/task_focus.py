"""Which start the next group is played from: in the tasks' turn, or more often of tasks whose groups tell something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RECENT = 8
"""Groups of a task that are remembered: what told something long ago was of another policy."""


class TaskFocus:
    """Numbers of starts; start n is of task n modulo the number of tasks (``walking.Walks``), each is given once.

    ``on`` False: one after another. True: by smooth weighted round robin, a task's weight being the share of its last
    ``RECENT`` groups that told something, by Laplace's rule: (told + 1) / (heard + 2). A task that is always solved and
    one that never is tell nothing; both are visited seldom, never not at all. Nothing is drawn at random.
    """

    def __init__(self, on: bool) -> None:
        self.on = on
        self._heard: dict[int, list[bool]] = {}
        self._visits: dict[int, int] = {}
        self._credit: dict[int, float] = {}

    def next(self, number: int, tasks: int) -> int:
        """The start of group ``number`` in a world of so many ``tasks``."""
        if not self.on:
            return number
        weights = {task: self.weight(task) for task in range(tasks)}
        for task, weight in weights.items():
            self._credit[task] = self._credit.get(task, 0.0) + weight
        task = max(weights, key=lambda k: (self._credit[k], -k))
        self._credit[task] -= sum(weights.values())
        visit = self._visits.get(task, 0)
        self._visits[task] = visit + 1
        return task + tasks * visit

    def hear(self, start: int, tasks: int, told: bool) -> None:
        """Whether the group that began at ``start`` told something."""
        task = start % tasks
        self._heard[task] = [*self._heard.get(task, []), told][-RECENT:]

    def weight(self, task: int) -> float:
        """How likely the task's next group tells something."""
        heard = self._heard.get(task, [])
        return (sum(heard) + 1) / (len(heard) + 2)

    def state(self) -> dict[str, Any]:
        """What a resumed run needs."""
        known = sorted(self._visits)
        return {
            "tasks": known,
            "heard": [list(self._heard.get(task, [])) for task in known],
            "visits": [self._visits[task] for task in known],
            "credit": [[task, credit] for task, credit in sorted(self._credit.items())],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        known = [int(task) for task in state["tasks"]]
        self._heard = {task: [bool(t) for t in row] for task, row in zip(known, state["heard"], strict=True)}
        self._visits = {task: int(count) for task, count in zip(known, state["visits"], strict=True)}
        self._credit = {int(task): float(credit) for task, credit in state["credit"]}
