"""One reward model, then transforms in order: from what happened to the reward that the learner sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.chain_check import check_chain, pays_unbounded_level
from robo_reward.chain_needs import check_model
from robo_reward.contracts import (
    Estimate,
    Flags,
    Floats,
    Needs,
    Observation,
    RewardModel,
    RewardTransform,
    Step,
    Transition,
)
from robo_reward.errors import UserError
from robo_reward.estimate_check import checked
from robo_reward.gains import with_hops
from robo_reward.naming import reward_name
from robo_reward.separate_looks import SeparateLooks
from robo_reward.trace import Trace
from robo_reward.traits import traits_of
from robo_reward.transform_kinds import EpisodeTransform, EstimateFilter, Remembering, Transform, name_of, nature_of


class RewardStack:
    """Prices transitions step by step, or whole episodes at once; the two agree for models that look at every step.

    With a stride, per-step pricing holds the last estimate between looks (the reward of a step may only use what is
    known by then), while whole episodes are interpolated between their frames. A gain belongs to the look that found
    it, either way.

    ``base_reward`` names the objective: the model's own if it passes the world's reward on, plus what the
    transforms add. ``needs``: the model's, and whole episodes if a transform wants them.

    Raises:
        UserError: if nothing in the chain is an objective (potential shaping telescopes to a constant, so on its own
            every policy is optimal under it), or if its pieces contradict each other (``chain_check``).
    """

    def __init__(self, model: RewardModel, transforms: Sequence[Transform]) -> None:
        self.model = model
        self.transforms = tuple(transforms)
        names = [t.base_reward for t in self.transforms if t.base_reward]
        if model.needs.oracle != "none":
            names.insert(0, {"reward": "env_dense", "success": "env_sparse"}[model.needs.oracle])
        check_chain(self.transforms, model.needs.oracle != "none")
        check_model(self.transforms, model)
        if not names and getattr(model, "prices", True):  # reward_model=none: for learners that imitate
            raise UserError(
                "this reward has no objective: shaping alone leaves every policy optimal. "
                "Add a base reward, e.g. transform=default or transform=potential (success detector + shaping)"
            )
        self.base_reward = " + ".join(names) or "none"
        self._level = pays_unbounded_level(self.transforms)
        self._looks = SeparateLooks(model)
        self._hops = traits_of(model).gives_hops
        self._held: Estimate | None = None
        self._age: NDArray[np.int64] = np.zeros(0, np.int64)

    @property
    def needs(self) -> Needs:
        """What must be given to price: the model's needs, and whole episodes if the chain wants them."""
        whole = any(isinstance(t, EpisodeTransform) for t in self.transforms)
        return replace(self.model.needs, episode=self.model.needs.episode or whole)

    @property
    def prices_ends(self) -> bool:
        """Whether the reward is one of whole episodes (``min_form``, ``gated``), often paid at the last step: nothing
        is earned after an episode's end then, be it that its time was up."""
        return any(nature_of(t).scope == "episode" for t in self.transforms)

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """Starts the episodes of the worlds where ``fresh`` (N,) is True.

        Raises:
            UserError: if a transform prices whole episodes only.
        """
        steps = self._step_transforms()
        estimate = checked(self._looks.begin(first, fresh), len(fresh), reward_name(self.model), "worlds")
        seen = with_hops(estimate, self._hops)
        for transform in steps:
            if isinstance(transform, EstimateFilter):
                seen = transform.filter(seen)
            else:
                transform.begin(seen, fresh)
        self._age = np.where(fresh, 0, self._age if len(self._age) == len(fresh) else 0)
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
            seen = checked(self._looks.estimate_where(transition, look), len(look), reward_name(self.model), "worlds")
            held = _merge(look, seen, held)
        self._held = held
        self._check_end(transition.terminated, held, transition.env_reward)
        reward, seen = self._base(transition.env_reward), with_hops(held, self._hops)
        for transform in self._step_transforms():
            if isinstance(transform, EstimateFilter):
                seen = transform.filter(seen)
            else:
                reward = transform(reward, transition, seen)
        return Step(transition, held, reward.astype(np.float32))

    def price(self, trace: Trace) -> Trace:
        """The trace with ``estimate`` at its F kept frames and ``reward`` (T,) between them, linearly interpolated."""
        return self.price_group([trace])[0]

    def price_group(self, traces: Sequence[Trace]) -> list[Trace]:
        """Prices episodes that belong together, such as several tries from one start."""
        estimates = [self._estimate_episode(trace) for trace in traces]
        rewards = self.rewards_of(traces, estimates)
        rows = zip(traces, estimates, rewards, strict=True)
        return [replace(trace, estimate=estimate, reward=reward) for trace, estimate, reward in rows]

    def _estimate_episode(self, trace: Trace) -> Estimate:
        return checked(self.model.estimate_episode(trace), len(trace.frame_steps), reward_name(self.model))

    def reward_of(self, trace: Trace, estimate: Estimate) -> Floats:
        """The rewards (T,) that given estimates (F,) at the trace's frames lead to."""
        return self.rewards_of([trace], [estimate])[0]

    def rewards_of(self, traces: Sequence[Trace], estimates: Sequence[Estimate]) -> list[Floats]:
        """The rewards (T_i,) of a group of episodes, of which estimates (F_i,) at their frames are given.

        May be called at any time: what the transforms remember of episodes that are being stepped is not touched.

        Raises:
            UserError: for a running normaliser, which prices per step only; for a single episode where the chain
                compares a group; for a level reward in an episode that success ended.
        """
        self._check_episodes(len(traces))
        hops = [with_hops(estimate, self._hops) for estimate in estimates]
        dense = [interpolate(e, t.frame_steps, len(t)) for t, e in zip(traces, hops, strict=True)]
        for trace, estimate in zip(traces, dense, strict=True):
            paid = np.zeros(1, np.float32) if trace.env_reward is None else trace.env_reward[-1:]
            self._check_end(np.asarray([trace.terminated]), estimate.at(slice(-1, None)), paid)
        rewards = [self._base_of(trace) for trace in traces]
        whole = self.prices_ends
        walks = {over: [[_outline(t, k, over) for k in range(len(t))] for t in traces] for over in {False, whole}}
        for transform in self.transforms:
            if isinstance(transform, EstimateFilter):
                dense = [transform.filter(estimate) for estimate in dense]
            elif isinstance(transform, EpisodeTransform):
                rewards = transform.price(rewards, list(zip(traces, dense, strict=True)))
            else:
                # where nothing is bootstrapped after the end, a potential that is left there would be an income
                rows = zip(rewards, walks[whole and nature_of(transform).role == "potential"], dense, strict=True)
                rewards = [_along(deepcopy(transform), *row) for row in rows]
        return [reward.astype(np.float32) for reward in rewards]

    def state(self) -> list[dict[str, Any]]:
        """What the transforms know beyond the running episodes, in order; {} from those that know nothing."""
        return [t.state() if isinstance(t, Remembering) else {} for t in self.transforms]

    def load_state(self, state: Sequence[Mapping[str, Any]]) -> None:
        """Takes back what ``state`` gave to a stack of the same chain."""
        for transform, known in zip(self.transforms, state, strict=True):
            if isinstance(transform, Remembering):
                transform.load_state(known)

    def _step_transforms(self) -> list[RewardTransform | EstimateFilter]:
        """All transforms, none of which may want whole episodes."""
        steps: list[RewardTransform | EstimateFilter] = []
        for transform in self.transforms:
            if isinstance(transform, EpisodeTransform):
                raise UserError(
                    f"transform {name_of(transform)} prices whole episodes only: use learner.pricing=deferred, "
                    "or a learner that prices finished episodes (learner=rlpd)"
                )
            steps.append(transform)
        return steps

    def _check_episodes(self, count: int) -> None:
        for transform in self.transforms:
            nature = nature_of(transform)
            if nature.scope == "running":
                raise UserError(
                    f"transform {name_of(transform)} keeps statistics of the rewards as they are earned and cannot "
                    "price finished episodes: use learner.pricing=per_step, or leave it out"
                )
            if nature.scope == "group" and count < 2:
                raise UserError(
                    f"transform {name_of(transform)} compares the episodes of a group, but {count} was given: use it "
                    "with a learner that rolls out groups from one start, or take transform=default"
                )

    def _check_end(self, terminated: Flags, estimate: Estimate, paid: Floats) -> None:
        """Refuses a level reward where success (as estimated, or the oracle's) ended an episode."""
        done = estimate.success >= 0.5
        done = done | (paid > 0) if self.model.needs.oracle == "success" else done
        if self._level is not None and (terminated & done).any():
            raise UserError(
                f"success ended an episode in which transform {self._level} pays at every step: that pays the policy "
                "for avoiding success. Let episodes run to their time limit (leave out hook=success_stop), put "
                "Absorbing after the level so that the last state counts as lasting (transform=absorbing), or use "
                "transform=potential"
            )

    def _base(self, env_reward: Floats) -> Floats:
        """The reward before the first transform: zero, or the world's own."""
        if self.model.needs.oracle == "none":
            return np.zeros(len(env_reward), np.float32)
        if np.isnan(env_reward).any():
            raise UserError(
                f"this reward is the simulator's {self.model.needs.oracle}, which these episodes do not hold: "
                f"build the world with oracle={self.model.needs.oracle}"
            )
        return env_reward.astype(np.float32)

    def _base_of(self, trace: Trace) -> Floats:
        missing = np.full(len(trace), np.nan, np.float32)
        return self._base(missing if trace.env_reward is None else trace.env_reward)


def _along(transform: RewardTransform, rewards: Floats, transitions: Sequence[Transition], dense: Estimate) -> Floats:
    """One episode's rewards (T,) after ``transform``, step by step."""
    transform.begin(dense.at(slice(0, 1)), np.ones(1, bool))
    paid = rewards.copy()
    for step, transition in enumerate(transitions):
        paid[step] = transform(rewards[step : step + 1], transition, dense.at(slice(step + 1, step + 2)))[0]
    return paid


def interpolate(estimate: Estimate, frame_steps: NDArray[np.int64], steps: int) -> Estimate:
    """Estimates at every step 0..steps, (steps + 1,), from those at ``frame_steps``; gains stay at their frames.

    A hop is one hop: shared out over the steps of its gap it would accumulate to another value. Before the first frame
    and after the last one the nearest estimate holds, and nothing is gained.

    Raises:
        UserError: without a single frame.
    """
    if len(frame_steps) == 0:
        raise UserError("an episode without kept frames cannot be priced: keep at least its first and last frame")
    grid = np.arange(steps + 1)

    def line(values: Floats) -> Floats:
        return np.asarray(np.interp(grid, frame_steps, values), np.float32)

    gain = np.zeros(steps + 1, np.float32)
    gain[frame_steps] = estimate.gain
    match = None if estimate.match is None else line(estimate.match)
    return Estimate(line(estimate.progress), gain, line(estimate.success), line(estimate.uncertainty), match)


def _outline(trace: Trace, step: int, over: bool) -> Transition:
    """The transition of one step without its pictures; ``over``: a time limit counts as a termination."""
    last = step == len(trace) - 1
    env_reward = np.full(1, np.nan, np.float32) if trace.env_reward is None else trace.env_reward[step : step + 1]
    states = trace.state[step : step + 2]
    return Transition(
        before=Observation({}, states[:1], (trace.task,)),
        action=trace.action[step : step + 1],
        after=Observation({}, states[1:], (trace.task,)),
        env_reward=env_reward,
        terminated=np.asarray([(trace.terminated or over) and last]),
        truncated=np.asarray([trace.truncated and last and not over]),
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
