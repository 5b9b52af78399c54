"""Policies that need no learning: smooth random actions, and noisy replays of recorded ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from gymnasium import spaces

from robo_reward.contracts import Flags, Floats, Observation
from robo_reward.trace import Trace


class RandomPolicy:
    """Uniform actions, each held for about ``1 / change`` steps: what a robot does that knows nothing."""

    def __init__(self, space: spaces.Box, rng: np.random.Generator, change: float = 0.15) -> None:
        self._low, self._high = np.asarray(space.low, np.float32), np.asarray(space.high, np.float32)
        self._rng, self._change = rng, change
        self._held: Floats | None = None

    def act(self, observation: Observation) -> Floats:
        """A chunk (N, 1, A)."""
        count = len(observation.state)
        drawn = self._rng.uniform(self._low, self._high, (count, *self._low.shape)).astype(np.float32)
        renewed = self._rng.random(count) < self._change
        if self._held is None or len(self._held) != count:
            self._held = drawn
        self._held = np.where(renewed[:, None], drawn, self._held).astype(np.float32)
        return self._held[:, None]

    def reset(self, fresh: Flags) -> None:
        """New actions in fresh episodes."""
        if self._held is not None and fresh.any():
            self._held = None

    def save(self, folder: Path) -> None:
        """Nothing to save."""


class ReplayPolicy:
    """Repeats a demonstration's actions from wherever the world starts, with noise and a constant bias.

    On a new scene it mostly fails in a way that looks like the task: the hard negatives of a strict protocol, in which
    the expert acts in the demonstrations only. Where some of them are of the world's task, one of those is repeated.
    """

    def __init__(
        self,
        demonstrations: Sequence[Trace],
        rng: np.random.Generator,
        noise: float = 0.4,
        bias: float = 0.15,
    ) -> None:
        self._demonstrations, self._rng, self._noise, self._bias = demonstrations, rng, noise, bias
        self._plans: list[tuple[Trace, float, Floats]] = []
        self._steps = np.zeros(0, np.int64)

    def act(self, observation: Observation) -> Floats:
        """A chunk (N, 1, A) in [-1, 1]; after its end the last action is repeated."""
        if len(self._steps) != len(observation.state):
            self.reset(np.ones(len(observation.state), bool))
        self._suit(observation.task)
        rows = []
        for (shown, noise, bias), step in zip(self._plans, self._steps, strict=True):
            action = shown.action[min(int(step), len(shown) - 1)] + bias
            rows.append(action + noise * self._rng.normal(size=action.shape))
        self._steps = self._steps + 1
        return np.clip(np.stack(rows), -1, 1).astype(np.float32)[:, None]

    def reset(self, fresh: Flags) -> None:
        """Draws a demonstration, a noise level and a bias for fresh episodes."""
        if len(self._steps) != len(fresh):
            self._steps, self._plans = np.zeros(len(fresh), np.int64), [self._draw() for _ in fresh]
        for index in np.flatnonzero(fresh):
            self._plans[index], self._steps[index] = self._draw(), 0

    def save(self, folder: Path) -> None:
        """Nothing to save."""

    def _suit(self, tasks: Sequence[str]) -> None:
        """At an episode's first step: draws again where another task's demonstration was drawn."""
        for index in np.flatnonzero(self._steps == 0):
            (shown, noise, bias), task = self._plans[index], tasks[index]
            own = [demonstration for demonstration in self._demonstrations if demonstration.task == task]
            if own and shown.task != task:
                self._plans[index] = own[int(self._rng.integers(len(own)))], noise, bias

    def _draw(self) -> tuple[Trace, float, Floats]:
        chosen = self._demonstrations[int(self._rng.integers(len(self._demonstrations)))]
        bias = self._rng.normal(0, self._bias, chosen.action.shape[1]).astype(np.float32)
        return chosen, float(self._rng.uniform(0, self._noise)), bias
