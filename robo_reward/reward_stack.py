"""One reward model, then transforms in order: from what happened to the reward that the learner sees."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import (
    Estimate,
    Flags,
    Floats,
    Observation,
    RewardModel,
    RewardTransform,
    Step,
    Transition,
)
from robo_reward.errors import UserError
from robo_reward.trace import Trace


class RewardStack:
    """Prices transitions step by step, or whole episodes at once; the two agree for models that look at every step.

    With a stride, per-step pricing holds the last estimate between looks (the reward of a step may only use what is
    known by then), while whole episodes are interpolated between their frames.

    ``base_reward`` names the objective: the model's own if it passes the world's reward on, plus what the
    transforms add.

    Raises:
        UserError: if nothing in the chain is an objective. Potential shaping telescopes to a constant, so on its
            own every policy is optimal under it.
    """

    def __init__(self, model: RewardModel, transforms: Sequence[RewardTransform]) -> None:
        self.model = model
        self.transforms = tuple(transforms)
        names = [t.base_reward for t in self.transforms if t.base_reward]
        if model.needs.oracle != "none":
            names.insert(0, {"reward": "env_dense", "success": "env_sparse"}[model.needs.oracle])
        if not names:
            raise UserError(
                "this reward has no objective: shaping alone leaves every policy optimal. "
                "Add a base reward, e.g. transform=default or transform=potential (success detector + shaping)"
            )
        self.base_reward = " + ".join(names)
        self._held: Estimate | None = None
        self._age: NDArray[np.int64] = np.zeros(0, np.int64)
        self._gained: Floats = np.zeros(0, np.float32)

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """Starts the episodes of the worlds where ``fresh`` (N,) is True."""
        estimate = self.model.begin(first, fresh)
        for transform in self.transforms:
            transform.begin(estimate, fresh)
        self._age = np.where(fresh, 0, self._age if len(self._age) == len(fresh) else 0)
        gained = self._gained if len(self._gained) == len(fresh) else np.zeros(len(fresh), np.float32)
        self._gained = np.where(fresh, 0, gained).astype(np.float32)
        same = self._held is not None and len(self._held.progress) == len(fresh)
        self._held = _merge(fresh, estimate, self._held) if same and self._held is not None else estimate
        return self._held

    def step(self, transition: Transition) -> Step:
        """Prices one step of N worlds. Between looks of a model with a stride the last estimate is held."""
        if self._held is None:
            raise RuntimeError("step was called before begin")
        self._age = self._age + 1
        look = (self._age % self.model.needs.stride == 0) | transition.done
        held = _still(self._held)
        if look.any():
            held = _merge(look, self._collected(look, self.model.estimate(transition)), held)
        self._held = held
        return Step(transition, held, self._reward(transition, held, self.transforms))

    def _collected(self, look: Flags, seen: Estimate) -> Estimate:
        """``seen`` with the gains since each world's own last look.

        A model looks at all worlds when one of them is due; what the others gained is kept until it is their turn.
        """
        gained = self._gained + seen.gain
        self._gained = np.where(look, 0, gained).astype(np.float32)
        return replace(seen, gain=np.clip(gained, -1, 1).astype(np.float32))

    def price(self, trace: Trace) -> Trace:
        """The trace with ``estimate`` at its F kept frames and ``reward`` (T,) between them, linearly interpolated."""
        estimate = self.model.estimate_episode(trace)
        return replace(trace, estimate=estimate, reward=self.reward_of(trace, estimate))

    def reward_of(self, trace: Trace, estimate: Estimate) -> Floats:
        """The rewards (T,) that given estimates (F,) at the trace's frames lead to.

        May be called at any time: what the transforms remember of episodes that are being stepped is not touched.
        """
        dense = interpolate(estimate, trace.frame_steps, len(trace))
        first = dense.at(slice(0, 1))
        transforms = deepcopy(self.transforms)
        for transform in transforms:
            transform.begin(first, np.ones(1, bool))
        rewards = np.zeros(len(trace), np.float32)
        for step in range(len(trace)):
            last = step == len(trace) - 1
            now = dense.at(slice(step + 1, step + 2))
            rewards[step] = self._reward(_outline(trace, step, last), now, transforms)[0]
        return rewards

    def _reward(self, transition: Transition, estimate: Estimate, transforms: Sequence[RewardTransform]) -> Floats:
        reward: Floats = np.zeros(len(transition.terminated), np.float32)
        if self.model.needs.oracle != "none":
            reward = transition.env_reward.astype(np.float32)
            if np.isnan(reward).any():
                raise UserError(
                    f"this reward is the simulator's {self.model.needs.oracle}, which these episodes do not hold: "
                    f"build the world with oracle={self.model.needs.oracle}"
                )
        for transform in transforms:
            reward = transform(reward, transition, estimate)
        return reward.astype(np.float32)


def interpolate(estimate: Estimate, frame_steps: NDArray[np.int64], steps: int) -> Estimate:
    """Estimates at every step 0..steps, (steps + 1,), from those at ``frame_steps``; gains are shared out evenly.

    Before the first frame and after the last one the nearest estimate holds, and nothing is gained.

    Raises:
        UserError: without a single frame.
    """
    if len(frame_steps) == 0:
        raise UserError("an episode without kept frames cannot be priced: keep at least its first and last frame")
    grid = np.arange(steps + 1)

    def line(values: Floats) -> Floats:
        return np.asarray(np.interp(grid, frame_steps, values), np.float32)

    gaps = np.diff(frame_steps, prepend=frame_steps[0])
    position = np.clip(np.searchsorted(frame_steps, grid), 0, len(frame_steps) - 1)
    shared = (estimate.gain / np.maximum(gaps, 1))[position]
    gain = np.where((grid >= frame_steps[0]) & (grid <= frame_steps[-1]), shared, 0).astype(np.float32)
    match = None if estimate.match is None else line(estimate.match)
    return Estimate(line(estimate.progress), gain, line(estimate.success), line(estimate.uncertainty), match)


def _outline(trace: Trace, step: int, last: bool) -> Transition:
    """The transition of one step without its pictures: all that transforms may look at."""
    env_reward = np.full(1, np.nan, np.float32) if trace.env_reward is None else trace.env_reward[step : step + 1]
    states = trace.state[step : step + 2]
    return Transition(
        before=Observation({}, states[:1], (trace.task,)),
        action=trace.action[step : step + 1],
        after=Observation({}, states[1:], (trace.task,)),
        env_reward=env_reward,
        terminated=np.asarray([trace.terminated and last]),
        truncated=np.asarray([trace.truncated and last]),
    )


def _merge(where: Flags, new: Estimate, old: Estimate) -> Estimate:
    match = None if new.match is None or old.match is None else np.where(where, new.match, old.match)
    return Estimate(
        np.where(where, new.progress, old.progress),
        np.where(where, new.gain, old.gain),
        np.where(where, new.success, old.success),
        np.where(where, new.uncertainty, old.uncertainty),
        match,
    )


def _still(held: Estimate) -> Estimate:
    return replace(held, gain=np.zeros_like(held.gain))
