"""One reward model, then transforms in order: from what happened to the reward that the learner sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

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

    ``base_reward`` names the objective: the model's own if it passes the world's reward on, plus what the transforms add.

    Raises:
        UserError: if nothing in the chain is an objective. Potential shaping telescopes to a constant, so on its own every
            policy is optimal under it.
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
        self._age = np.zeros(0, np.int64)

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """Starts the episodes of the worlds where ``fresh`` (N,) is True."""
        estimate = self.model.begin(first, fresh)
        for transform in self.transforms:
            transform.begin(estimate, fresh)
        self._age = np.where(fresh, 0, self._age if len(self._age) == len(fresh) else 0)
        self._held = estimate if self._held is None else _merge(fresh, estimate, self._held)
        return estimate

    def step(self, transition: Transition) -> Step:
        """Prices one step of N worlds. Between looks of a model with a stride the last estimate is held."""
        self._age = self._age + 1
        held = self._held
        look = (self._age % self.model.needs.stride == 0) | transition.done
        if held is None or bool(look.any()):
            seen = self.model.estimate(transition)
            held = seen if held is None else _merge(look, seen, _still(held))
        else:
            held = _still(held)
        self._held = held
        return Step(transition, held, self._reward(transition, held))

    def price(self, trace: Trace) -> Trace:
        """The trace with ``estimate`` at its F kept frames and ``reward`` (T,) between them, linearly interpolated."""
        estimate = self.model.estimate_episode(trace)
        return replace(trace, estimate=estimate, reward=self.reward_of(trace, estimate))

    def reward_of(self, trace: Trace, estimate: Estimate) -> Floats:
        """The rewards (T,) that given estimates (F,) at the trace's frames lead to."""
        dense = interpolate(estimate, trace.frame_steps, len(trace))
        first = dense.at(slice(0, 1))
        for transform in self.transforms:
            transform.begin(first, np.ones(1, bool))
        rewards = np.zeros(len(trace), np.float32)
        for step in range(len(trace)):
            last = step == len(trace) - 1
            now = dense.at(slice(step + 1, step + 2))
            rewards[step] = self._reward(_outline(trace, step, last), now)[0]
        return rewards

    def _reward(self, transition: Transition, estimate: Estimate) -> Floats:
        reward = np.zeros(len(transition.terminated), np.float32)
        if self.model.needs.oracle != "none":
            reward = transition.env_reward.astype(np.float32)
        for transform in self.transforms:
            reward = transform(reward, transition, estimate)
        return reward.astype(np.float32)


def interpolate(estimate: Estimate, frame_steps: np.ndarray, steps: int) -> Estimate:
    """Estimates at every step 0..steps, (steps + 1,), from those at ``frame_steps``; gains are shared out evenly."""
    grid = np.arange(steps + 1)

    def line(values: Floats) -> Floats:
        return np.interp(grid, frame_steps, values).astype(np.float32)

    gaps = np.diff(frame_steps, prepend=0)
    position = np.clip(np.searchsorted(frame_steps, grid), 0, len(frame_steps) - 1)
    gain = (estimate.gain / np.maximum(gaps, 1))[position].astype(np.float32)
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
