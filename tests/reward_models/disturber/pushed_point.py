"""A point on a line that keeps its speed, may be pushed and falls off the ends: numbers that can be done by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Floats, Observation, Transition
from robo_reward.line_world import LineWorld
from robo_reward.pushes.collected import Collected


class PushedPoint(LineWorld):
    """State (N, 2) position and velocity; a push of 1 N adds 0.01 to the velocity, an action of 1 adds 0.05.

    Pays 1 - |position| per step (``task_reward``, at most 1); beyond 1 it has fallen. ``breaks``: a push harder than
    this blows the simulation up.
    """

    name = "pushed point"
    bodies = ("point", "anchor")
    task_reward_bound: float | None = 1.0

    def __init__(self, num_worlds: int = 1, horizon: int = 10, breaks: float = np.inf) -> None:
        super().__init__(num_worlds, horizon, oracle="reward")
        self._v = np.zeros(num_worlds)
        self._force = np.zeros((num_worlds, 2, 6))
        self._breaks = breaks
        self.task_reward = np.zeros(num_worlds, np.float32)
        self.pushed: list[NDArray[np.float64]] = []

    def apply_force(self, force: NDArray[Any]) -> None:
        assert force.shape == (self.num_worlds, 2, 6)
        assert np.isfinite(force).all()
        self._force = force

    def step(self, action: Floats) -> Transition:
        before = self.observe()
        self.pushed.append(self._force.copy())
        broken = np.abs(self._force[:, 0, 0]) > self._breaks
        self._v += 0.05 * action[:, 0] + 0.01 * self._force[:, 0, 0]
        self._force = np.zeros_like(self._force)
        self._x = self._x + 0.1 * self._v
        self._steps += 1
        fallen = (np.abs(self._x) > 1.0) & ~broken
        paid = np.where(broken, 0.0, np.maximum(1.0 - np.abs(self._x), 0.0)).astype(np.float32)
        self.task_reward = paid
        self.nan_resets += int(broken.sum())
        truncated = ~fallen & (broken | (self._steps >= self.horizon))
        after = self.observe()
        self.end(fallen | truncated)
        return Transition(before, action, after, paid, fallen, truncated)

    def observe(self) -> Observation:
        state = np.stack([self._x, self._v], 1).astype(np.float32)
        return Observation({}, state, ("stay",) * self.num_worlds)

    def _start(self, i: int) -> None:
        super()._start(i)
        self._x[i], self._v[i] = self._x[i] - 0.25, 0.0


class Still:
    """Does nothing."""

    def act(self, observation: Observation) -> Floats:
        return np.zeros((len(observation.state), 1, 1), np.float32)

    def reset(self, fresh: Any) -> None:
        pass

    def save(self, folder: Path) -> None:
        pass


def collected(advantage: NDArray[np.float32], gamma: float) -> Collected:
    """Of a learner whose critic says 0 everywhere."""
    return Collected(advantage, advantage.copy(), gamma, 0.95)
