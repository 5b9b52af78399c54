"""A fresh adversary, trained against a frozen policy: what the worst pushes of one magnitude look like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from robo_reward.contracts import Estimate, Policy, Step, World
from robo_reward.errors import UserError
from robo_reward.pushes.collected import Collected
from robo_reward.pushes.forces import Adversary, Pushable
from robo_reward.seeding import derive_seed

GAMMA = 0.99


@dataclass(frozen=True, slots=True)
class Practice:
    """``steps`` environment steps of training in ``worlds``, an update every ``rollout`` steps of each.

    ``newtons``: the force; None leaves it to the caller, who knows what other pushes did.
    """

    steps: int = 300_000
    rollout: int = 32
    worlds: int = 128
    newtons: float | None = None

    def __post_init__(self) -> None:
        if min(self.steps, self.rollout, self.worlds) < 1:
            raise UserError(
                f"disturbance.practice: steps={self.steps}, rollout={self.rollout} and worlds={self.worlds} must be 1 "
                "or more"
            )
        if self.newtons is not None and not 0.0 < self.newtons < np.inf:
            raise UserError(
                f"disturbance.practice.newtons={self.newtons} must be above 0 N, or null for the lowest F50 of the "
                "other pushes"
            )


def train_worst_case(
    adversary: Adversary,
    world: World,
    policy: Policy,
    newtons: float,
    practice: Practice,
    seed: int,
    on_update: Callable[[Mapping[str, float]], None] | None = None,
) -> None:
    """Trains ``adversary`` (bound to ``world``) at one bound; the policy acts with its mean and never learns.

    ``world`` must unmask the reward that the adversary is paid against.
    """
    assert isinstance(world, Pushable)
    adversary.begin(derive_seed(seed, "practice"))
    adversary.hold(newtons, explore=True)
    seen = world.reset(derive_seed(seed, "practice episodes"))
    policy.reset(np.ones(world.num_worlds, bool))
    zeros = np.zeros(world.num_worlds, np.float32)
    silent = Estimate(zeros, zeros, zeros, zeros)
    for _ in range(max(1, practice.steps // (practice.rollout * world.num_worlds))):
        for _ in range(practice.rollout):
            world.apply_force(adversary.force(seen))
            transition = world.step(policy.act(seen)[:, 0])
            adversary.on_step(Step(transition, silent, transition.env_reward))
            seen = world.observe()
            policy.reset(transition.done)
        untouched = np.zeros((practice.rollout, world.num_worlds), np.float32)
        metrics = adversary.on_rollout(Collected(untouched, untouched, GAMMA, 1.0))
        if on_update is not None:
            on_update(metrics)
