"""Collects the episodes of N worlds that step together; only worlds that are looked at, begin or end cost a loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Flags, Floats, Observation, Transition
from robo_reward.trace import Source, Trace

FIRST_CAPACITY = 64


class EpisodeRecorder:
    """``begin`` where episodes begin, ``add`` each step; keeps the frames of ``views`` at every ``stride``-th step of
    an episode and at its last. A world whose episode ended is not recorded until the next one is begun.

    ``worlds``: the first so many are recorded. What is held in memory are as many steps of all of them as the longest
    unfinished episode has.
    """

    def __init__(self, worlds: int, views: Sequence[str], stride: int, fps: float, source: Source) -> None:
        self._worlds, self._views, self._stride, self._fps = worlds, tuple(views), stride, fps
        self._source: Source = source
        self._rows = _Ring()
        self._recording: Flags = np.zeros(worlds, np.bool_)
        self._began: NDArray[np.int64] = np.zeros(worlds, np.int64)
        self._first: Floats = np.zeros((worlds, 0), np.float32)
        self._task = [""] * worlds
        self._frames: list[dict[str, list[NDArray[np.uint8]]]] = [{} for _ in range(worlds)]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) steps of the episodes that are being recorded, 0 of others."""
        return np.where(self._recording, self._rows.count - self._began, 0)

    def begin(self, shown: Observation, fresh: Flags) -> None:
        """Starts new episodes with what the worlds show now, where ``fresh`` (N,)."""
        started = np.flatnonzero(fresh[: self._worlds])
        if not self._first.shape[1]:
            self._first = np.array(shown.state[: self._worlds])
        self._first[started] = shown.state[started]
        self._recording[started], self._began[started] = True, self._rows.count
        for i in started.tolist():
            self._task[i] = shown.task[i]
            self._frames[i] = {view: [] for view in self._views}
        self._look(shown, started)

    def add(self, transition: Transition, reward: Floats | None = None) -> dict[int, Trace]:
        """Adds a step, and what it was paid (N,) if that is known; gives the episodes that ended, by world."""
        if not self._recording.any():
            return {}
        rows = {"state": transition.after.state, "action": transition.action, "env_reward": transition.env_reward}
        rows |= {} if reward is None else {"reward": reward}
        self._rows.add(
            {name: row[: self._worlds] for name, row in rows.items()}, int(self._began[self._recording].min())
        )
        done = transition.done[: self._worlds] & self._recording
        if self._views:
            due = done | (self._recording & (self.lengths % self._stride == 0))
            self._look(transition.after, np.flatnonzero(due))
        ended = np.flatnonzero(done).tolist()
        finished = {i: self._finish(i, transition) for i in ended}
        self._recording[ended] = False
        return finished

    def _look(self, shown: Observation, where: NDArray[np.int64]) -> None:
        for view in self._views if len(where) else ():
            pictures = shown.views[view]
            for i in where.tolist():
                self._frames[i][view].append(pictures[i])

    def _finish(self, i: int, transition: Transition) -> Trace:
        rows = self._rows.since(int(self._began[i]), i)
        steps, paid = len(rows["action"]), rows["env_reward"].astype(np.float32)
        looked = np.arange(0, steps, self._stride, dtype=np.int64)
        return Trace(
            task=self._task[i],
            state=np.concatenate([self._first[i : i + 1], rows["state"]]),
            action=rows["action"],
            frames={view: np.stack(frames) for view, frames in self._frames[i].items()},
            frame_steps=np.append(looked, steps),
            fps=self._fps,
            source=self._source,
            terminated=bool(transition.terminated[i]),
            truncated=bool(transition.truncated[i]),
            env_reward=None if np.isnan(paid).any() else paid,
            reward=rows["reward"].astype(np.float32) if "reward" in rows else None,
        )


class _Ring:
    """Rows (N, ...) of the last steps; as many as are still needed, in arrays that double when these do not fit."""

    def __init__(self) -> None:
        self.count = 0
        """Steps so far."""
        self._held: dict[str, NDArray[Any]] = {}
        self._capacity = FIRST_CAPACITY

    def add(self, rows: Mapping[str, NDArray[Any]], oldest: int) -> None:
        """Copies one step's rows; those before step ``oldest`` are no longer needed."""
        if self.count - oldest >= self._capacity:
            self._grow(oldest)
        for name, row in rows.items():
            if name not in self._held:
                self._held[name] = np.empty((self._capacity, *row.shape), row.dtype)
            self._held[name][self.count % self._capacity] = row
        self.count += 1

    def since(self, first: int, world: int) -> dict[str, NDArray[Any]]:
        """(T, ...) a copy of one world's rows from step ``first`` on."""
        where = np.arange(first, self.count) % self._capacity
        return {name: held[where, world] for name, held in self._held.items()}

    def _grow(self, oldest: int) -> None:
        kept, capacity = np.arange(oldest, self.count), 2 * self._capacity
        for name, held in self._held.items():
            self._held[name] = np.empty((capacity, *held.shape[1:]), held.dtype)
            self._held[name][kept % capacity] = held[kept % self._capacity]
        self._capacity = capacity
