"""A policy that stays near a prior: the prior's action plus a bounded correction, learned or explored."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from robo_reward.contracts import Flags, Floats, Observation
from robo_reward.policies.priors import Prior
from robo_reward.policies.soft_actor_critic import SoftActorCritic
from robo_reward.trace import Trace

Mode = Literal["prior", "average", "trial", "sample", "offset"]
"""``prior`` alone; ``average`` and ``trial`` the policy as it is evaluated; ``sample`` the actor, or the prior where
its Q is higher; ``offset`` a constant random correction for a while, which leaves the path where white noise would
average out."""


class AnchoredPolicy:
    """action = clip(prior + scale * correction, -1, 1), correction in [-1, 1].

    The critic judges corrections, so it sees the state, what the prior remembers and what it proposes. ``features`` are
    those inputs: (N, S + C + A). In ``sample`` mode the better of the actor's correction and of none plus noise acts,
    by the critic (IBRL, Hu et al. 2023): the policy falls back to the prior wherever the critic trusts it more.
    """

    def __init__(
        self, prior: Prior, agent: SoftActorCritic, scale: float, context: int, rng: np.random.Generator
    ) -> None:
        """``context``: how many context numbers the networks expect; priors with fewer are padded with zeros."""
        self.prior, self.agent, self.scale, self.context = prior, agent, scale, context
        self.mode: Mode = "average"
        self.noise, self.offset_size, self.renewal = 0.1, 0.7, 0.1
        self._rng = rng
        self._offset: Floats | None = None
        self.trail: list[NDArray[np.float32]] = []
        self.corrections: list[NDArray[np.float32]] = []

    def start(self, mode: Mode, rng: np.random.Generator) -> None:
        """Chooses how the next episodes act and empties the trail of features and corrections."""
        self.mode, self._rng, self._offset = mode, rng, None
        self.trail, self.corrections = [], []

    def features(self, state: Floats) -> tuple[NDArray[np.float32], Floats]:
        """The inputs of actor and critic (N, S + C + A), and the prior's actions (N, A)."""
        action, context = self.prior.propose(state)
        padding = np.zeros((len(state), self.context - context.shape[1]), np.float32)
        return np.concatenate([state, context, padding, action], 1), action

    def walked(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Features (T, F) and corrections (T, A) of the episode that one world just ran."""
        return np.concatenate(self.trail), np.concatenate(self.corrections)

    def follow(self, demonstration: Trace) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Features (T, F) along a demonstration, and the clipped corrections (T, A) that act as it did."""
        self.prior.reset(np.ones(1, bool))
        features, corrections = [], []
        for state, acted in zip(demonstration.state[:-1], demonstration.action, strict=True):
            seen, proposed = self.features(state[None])
            features.append(seen)
            corrections.append(self.correction(acted, proposed))
        self.prior.reset(np.ones(1, bool))
        return np.concatenate(features), np.concatenate(corrections).astype(np.float32)

    def correction(self, acted: Floats, proposed: Floats) -> Floats:
        """What comes nearest to the correction that would have made ``acted`` of ``proposed``, in [-1, 1]."""
        # at a scale of 0 nothing can be corrected: what was asked for is its direction
        return np.clip((acted - proposed) / max(self.scale, 1e-6), -1, 1)

    @torch.no_grad()
    def act(self, observation: Observation) -> Floats:
        """A chunk (N, 1, A)."""
        features, action = self.features(observation.state)
        correction = self._correct(torch.from_numpy(features), action.shape)
        self.trail.append(features)
        self.corrections.append(correction)
        return np.clip(action + self.scale * correction, -1, 1).astype(np.float32)[:, None]

    def reset(self, fresh: Flags) -> None:
        """Lets the prior start anew where ``fresh``."""
        self.prior.reset(fresh)

    def save(self, folder: Path) -> None:
        """Writes everything that is needed to act alike; ``saved_policy.load_anchored`` reads it."""
        from robo_reward.policies.saved_policy import save_anchored

        actions = self.agent.actions
        save_anchored(self, folder, self.agent.states - self.context - actions, actions)

    def _correct(self, features: torch.Tensor, shape: tuple[int, ...]) -> NDArray[np.float32]:
        if self.mode == "prior":
            return np.zeros(shape, np.float32)
        if self.mode in ("average", "trial"):
            out: NDArray[np.float32] = self.agent.average_actor.mode(features).numpy()
            return out
        if self.mode == "offset":
            return self._hold_offset(shape)
        return self._choose(features, shape)

    def _hold_offset(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        if self._offset is None or self._rng.random() < self.renewal:
            drawn = self._rng.uniform(-self.offset_size, self.offset_size, shape)
            drawn[:, -1] *= 0.3  # the last action is a gripper in most tasks, and letting go ends most attempts
            self._offset = drawn.astype(np.float32)
        return self._offset

    def _choose(self, features: torch.Tensor, shape: tuple[int, ...]) -> NDArray[np.float32]:
        near = np.clip(self._rng.normal(0, self.noise, shape), -1, 1).astype(np.float32)
        sampled = self.agent.actor.sample(features)[0]
        stay = torch.from_numpy(near)
        better = self.agent.value(features, sampled) > self.agent.value(features, stay)
        out: NDArray[np.float32] = torch.where(better[:, None], sampled, stay).numpy()
        return out
