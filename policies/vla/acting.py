"""``learner.acting_updates``: after imitation, actions that see places alone go on learning from the true ones."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from robo_reward.errors import UserError
from robo_reward.policies.vla.features import PLACES
from robo_reward.policies.vla.frames import EpisodeFrames
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla.optimisation import AveragedWeights, build_optimisation
from robo_reward.policies.vla.training_data import Batches, deltas, order
from robo_reward.ranks import Ranks
from robo_reward.seeding import derive_seed

ROWS = 2
"""Samples of an update, for each of ``learner.batch``: without pictures they cost little."""


def acting_batches(frames: EpisodeFrames, policy: LeRobotPolicy, batch: int, seed: int, ranks: Ranks) -> Batches | None:
    """Batches of what was demonstrated, without scenes; None where actions see more than places, or none are told."""
    if not getattr(policy.module, "acts_on_places", False) or frames.acted == 0:
        return None
    past, ahead = deltas(policy.config)
    first = frames.batch([0], past, ahead).get(PLACES)
    if first is None or bool(first.isnan().any()):
        return None

    def between(first: int, last: int) -> Any:
        for chosen in order(frames.acted, ROWS * batch, derive_seed(seed, "sft acting"), first, last):
            yield frames.batch(list(ranks.share(chosen)), past, ahead)

    return between


def learn_to_act(
    policy: LeRobotPolicy, batches: Batches, updates: int, lr: float | None, ema: float, seed: int, ranks: Ranks
) -> dict[str, float]:
    """Trains what comes behind the places, by true ones; pictures are not looked at, and what tells places stays.

    A head that learns beside its eyes has few of a batch's samples, and places that still move. Every update seeds
    itself. Cosine schedule; averaged weights if ``ema`` is above 0.

    Raises:
        UserError: the loss is not finite.
    """
    module, since = policy.module, time.perf_counter()
    steps = build_optimisation(module, policy.config, updates, lr, "cosine", min(100, updates // 10))
    steps.ranks = ranks
    average = AveragedWeights(module, ema) if ema else None
    losses: list[float] = []
    module.train()
    for update, raw in enumerate(batches(0, updates), 1):
        torch.manual_seed(derive_seed(seed, "sft acting update", update, *ranks.own))
        loss = module.acting_loss(policy.training_batch(raw))
        losses.append(loss.item())
        if not np.isfinite(losses[-1]):
            raise UserError(f"the loss of acting update {update} is not finite: lower learner.lr (now {steps.lr:g})")
        steps.step(loss)
        if average is not None:
            average.update()
    if average is not None:
        average.apply()
    mean = float(np.mean(losses[-100:]))
    took = time.perf_counter() - since
    print(f"{updates} updates of the actions by true places: loss {mean:.4f}, {took:.0f} s", flush=True)
    return {"sft/acting_loss": ranks.mean(mean, policy.device), "timing/acting_seconds": took}


def number_of(asked: int | None, updates: int, batches: Batches | None, weighed: bool) -> int:
    """How many updates there are: ``asked``, or where nothing is, half of ``updates`` if the policy can and none is weighed.

    Raises:
        UserError: some are asked of a policy or data that cannot.
    """
    if batches is not None and not weighed:
        return updates // 2 if asked is None else asked
    if asked:
        why = "learner.rabc weighs frames" if weighed else "the policy does not act on places alone, or none are told"
        raise UserError(
            f"learner.acting_updates={asked}: {why}. It needs policy=nano_vla_places and demonstrations with "
            f"recording.places=true; set it to null"
        )
    return 0
