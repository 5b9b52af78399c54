"""A world and a reward model whose numbers can be done by hand, for tests of the verbs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from robo_reward.contracts import Estimate, Flags, Floats, Needs, Observation, Transition
from robo_reward.sealed_log import SealedLog
from robo_reward.trace import Trace

GOAL = 5.0


class PaperWorld:
    """A point on a line. It starts at 0 (at -100, too far, in every ``lame``-th episode) and succeeds from 5
    on."""

    num_worlds = 1
    view_names = ("front", "top")
    action_space = spaces.Box(-1, 1, (2,), np.float32)
    state_size, horizon, fps, name = 1, 12, 10.0, "paper/line"
    frames_rendered, render_seconds, nan_resets = 0, 0.0, 0
    expert = True

    def __init__(self, num_worlds: int = 1, lame: int = 0) -> None:
        self.sealed, self.closed, self.seeds = SealedLog(), False, list[int]()
        self._lame, self._episodes = lame, 0

    def reset(self, seed: int) -> Observation:
        self.seeds.append(seed)
        self._episodes += 1
        far = self._lame and self._episodes % self._lame == 0
        self._x, self._steps = (-100.0 if far else 0.0), 0
        return self.observe()

    def step(self, action: Floats) -> Transition:
        before = self.observe()
        self._x += float(action[0, 0])
        self._steps += 1
        done = np.array([self._steps >= self.horizon])
        after = self.observe()
        if done[0]:
            self._x, self._steps = 0.0, 0
        return Transition(before, action, after, np.array([np.nan], np.float32), np.array([False]), done)

    def observe(self) -> Observation:
        frame = np.full((1, 48, 48, 3), int(np.clip(20 * self._x, 0, 200)), np.uint8)
        return Observation({v: frame for v in self.view_names}, np.array([[self._x]], np.float32), ("go right",))

    def expert_action(self) -> Floats:
        return np.array([[1.0, 0.0]], np.float32)

    def annotated_success(self) -> Flags:
        return np.array([self._x >= GOAL])

    def keep_final(self, views: Any) -> None: ...

    def snapshot(self) -> list[Any]:
        return [self._x]

    def restore(self, snapshot: list[Any]) -> Observation:
        self._x = snapshot[0]
        return self.observe()

    def close(self) -> None:
        self.closed = True


class PaperReward:
    """Progress = brightness of the first view / 100, at most 1."""

    frame_size = (24, 24)

    def __init__(self, views: list[str], oracle: Any = "none") -> None:
        self.needs = Needs(views=tuple(views), stride=2, oracle=oracle)
        self.loaded: Path | None = None

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        raise AssertionError("curves price whole episodes")

    def estimate(self, transition: Transition) -> Estimate:
        raise AssertionError("curves price whole episodes")

    def estimate_episode(self, trace: Trace) -> Estimate:
        frames = trace.frames[self.needs.views[0]]
        assert frames.shape[1:3] == self.frame_size
        progress = np.clip(frames.mean((1, 2, 3)) / 100, 0, 1).astype(np.float32)
        zero = np.zeros_like(progress)
        return Estimate(progress, zero, zero, zero + 0.1)

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None:
        self.loaded = folder
