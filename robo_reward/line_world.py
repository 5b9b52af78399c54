"""A world and a reward without a simulator, whose numbers can be done by hand: for trying learners and rewards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from robo_reward.contracts import Estimate, Flags, Floats, Frames, Landmarks, Needs, Observation, Oracle, Transition
from robo_reward.errors import UserError
from robo_reward.sealed_log import Outcome, SealedLog
from robo_reward.trace import Trace

VIEW = "front"
SIZE = 8
GOAL = 0.9


class LineWorld:
    """N points on the line from 0 to 1; an action in [-1, 1] moves a point by a tenth of it, 0.9 and more is success.

    State (N, 2): position and time / horizon. The view ``front`` (8, 8) is as bright as the point is far. Starts are
    drawn from (seed, world, episode) in [0, 0.5]. ``ends``: (length, terminated) of the episodes, episode k of world i
    takes entry (i + k) modulo their number; without it all are truncated at ``horizon``.
    """

    view_names: tuple[str, ...] = (VIEW,)
    state_size, fps, name = 2, 10.0, "line"
    render_seconds, nan_resets = 0.0, 0
    landmarks: Landmarks | None = None

    def __init__(
        self,
        num_worlds: int = 1,
        horizon: int = 10,
        ends: Sequence[tuple[int, bool]] = (),
        oracle: Oracle = "none",
    ) -> None:
        self.num_worlds, self.horizon, self.oracle = num_worlds, horizon, oracle
        self.action_space: spaces.Box = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.sealed, self.frames_rendered = SealedLog(), 0
        self._ends = tuple(ends) or ((horizon, False),)
        self._seed = 0
        self._x: NDArray[np.float64] = np.zeros(num_worlds)
        self._steps, self._episode = np.zeros((2, num_worlds), np.int64)
        self._sum = np.zeros(num_worlds)

    def reset(self, seed: int) -> Observation:
        """Starts an episode in every world."""
        self._seed = seed
        self._episode[:] = 0
        for i in range(self.num_worlds):
            self._start(i)
        return self.observe()

    def step(self, action: Floats) -> Transition:
        """Moves the points; ended episodes start anew."""
        before = self.observe()
        self._x = np.clip(self._x + 0.1 * np.clip(action[:, 0], -1, 1), 0, 1)
        self._steps += 1
        self._sum += self._x
        after = self.observe()
        ends = [self._ends[(i + k) % len(self._ends)] for i, k in enumerate(self._episode)]
        done = np.array([steps >= length for steps, (length, _) in zip(self._steps, ends, strict=True)])
        terminated = done & np.array([end for _, end in ends])
        paid = {"reward": self._x, "success": self._x >= GOAL, "none": np.full(self.num_worlds, np.nan)}
        reward = paid[self.oracle].astype(np.float32)
        self.end(done)
        return Transition(before, action, after, reward, terminated, done & ~terminated)

    def end(self, where: Flags) -> Observation:
        """Seals the verdicts of these worlds' episodes and starts the next ones."""
        for i in np.flatnonzero(where):
            self.sealed.write(Outcome(bool(self._x[i] >= GOAL), float(self._sum[i]), int(self._steps[i])))
            self._episode[i] += 1
            self._start(int(i))
        return self.observe()

    def observe(self) -> Observation:
        """What the points look like now."""
        state = np.stack([self._x, self._steps / self.horizon], 1).astype(np.float32)
        return Observation({VIEW: brightness(self._x)}, state, ("go right",) * self.num_worlds)

    def keep_final(self, views: Sequence[str]) -> None:
        """Nothing to do: the frames are plain arrays."""

    def expert_action(self) -> Floats:
        """Full speed to the right, (N, 1)."""
        return np.ones((self.num_worlds, 1), np.float32)

    def annotated_success(self) -> Flags:
        """(N,) whether the points have arrived."""
        return np.asarray(self._x >= GOAL)

    def snapshot(self) -> list[Any]:
        """Of each point the seed, position, clock, episode number and sum."""
        rows = zip(self._x, self._steps, self._episode, self._sum, strict=True)
        return [(self._seed, *row) for row in rows]

    def restore(self, snapshot: list[Any]) -> Observation:
        """Goes back to N snapshots."""
        for i, (self._seed, *row) in enumerate(snapshot):
            self._x[i], self._steps[i], self._episode[i], self._sum[i] = row
        return self.observe()

    def close(self) -> None:
        """Nothing to free."""

    def _start(self, i: int) -> None:
        rng = np.random.default_rng((self._seed, i, int(self._episode[i])))
        self._x[i], self._steps[i], self._sum[i] = rng.uniform(0, 0.5), 0, 0.0


class LineReward:
    """Progress is the brightness of the view in [0, 1], gain its change since the last look, success from 0.9 on.

    Causal: pricing step by step and pricing the whole episode agree at every frame.
    """

    gives_hops = False

    def __init__(self, stride: int = 1, episode: bool = False) -> None:
        self.needs = Needs(views=(VIEW,), stride=stride, episode=episode)
        self._before: Floats = np.zeros(0, np.float32)

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """(N,) of the first frames. UserError if it was told to price whole episodes."""
        if self.needs.episode:
            raise UserError("this reward prices whole episodes")
        seen = _shine(first.views[VIEW])
        old = self._before if len(self._before) == len(fresh) else seen
        self._before = np.where(fresh, seen, old).astype(np.float32)
        return _estimate(seen, seen)

    def estimate(self, transition: Transition) -> Estimate:
        """(N,) of the frames after the step."""
        seen = _shine(transition.after.views[VIEW])
        estimate = _estimate(self._before, seen)
        self._before = seen
        return estimate

    def estimate_episode(self, trace: Trace) -> Estimate:
        """(F,) of the kept frames."""
        seen = _shine(trace.frames[VIEW])
        return _estimate(np.concatenate([seen[:1], seen[:-1]]), seen)


def brightness(position: NDArray[np.floating[Any]]) -> Frames:
    """Frames (N, 8, 8, 3) for positions (N,) in [0, 1]."""
    value = np.round(255 * np.clip(position, 0, 1)).astype(np.uint8)
    return np.broadcast_to(value[:, None, None, None], (len(value), SIZE, SIZE, 3)).copy()


def _shine(frames: Frames) -> Floats:
    return np.asarray(frames.mean((1, 2, 3)) / 255, np.float32)


def _estimate(before: Floats, now: Floats) -> Estimate:
    zero = np.zeros_like(now)
    return Estimate(now, np.clip(now - before, -1, 1), (now >= GOAL).astype(np.float32), zero)
