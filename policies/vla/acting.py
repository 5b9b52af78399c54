"""``learner.acting_updates``: after imitation, actions that see places alone go on learning from the true ones."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import torch

from robo_reward.errors import UserError
from robo_reward.policies.vla.frames import EpisodeFrames
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla.optimisation import AveragedWeights, build_optimisation
from robo_reward.policies.vla.training_data import Batches, deltas, order
from robo_reward.ranks import Ranks
from robo_reward.seeding import derive_seed

ROWS = 2
"""Samples of an update, for each of ``learner.batch``: without pictures they cost little."""


def check_asked(asked: int | None, config: Any, weighed: bool) -> None:
    """Refuses what settings alone tell to be impossible; a blind twin shares those of the policy that looks.

    Raises:
        UserError: updates of the actions alone are asked of a policy that sees more than places, or samples are
            ``weighed`` by progress.
    """
    if not asked or getattr(config, "blind", False):
        return
    why = "learner.rabc weighs frames" if weighed else ""
    if not why and not getattr(config, "bottleneck", False):
        why = "without policy.bottleneck=true actions see more of pictures than places (policy=nano_vla_places)"
    elif not why and config.waypoint_weight > 0:
        why = f"policy.waypoint_weight={config.waypoint_weight:g} shows actions waypoints, too (policy=nano_vla_places)"
    if why:
        raise UserError(f"learner.acting_updates={asked}: {why}; or set it to null")


def acting_batches(
    frames: EpisodeFrames, policy: LeRobotPolicy, asked: int | None, batch: int, seed: int, ranks: Ranks
) -> Batches | None:
    """Batches of what was demonstrated with all places told, without pictures; None where there are none.

    Scenes show nothing being done, and are left out. Where only some demonstrations tell places there are none unless
    they are ``asked`` for: what the others show would be unlearned.
    """
    if not _can(policy) or not (placed := frames.placed):
        return None
    if asked is None and len(placed) < frames.acted:
        some = f"{len(placed)} of {frames.acted} samples tell all places"
        warnings.warn(f"{some}: no updates of the actions by these alone; acting_updates=N asks", stacklevel=2)
        return None
    past, ahead = deltas(policy.config)

    def between(first: int, last: int) -> Any:
        for chosen in order(len(placed), ROWS * batch, derive_seed(seed, "sft acting"), first, last):
            yield frames.batch([placed[k] for k in ranks.share(chosen)], past, ahead, pictures=False)

    return between


def check_streamed(policy: LeRobotPolicy, asked: int | None, cache_gb: float) -> None:
    """A dataset that is streamed teaches actions beside the eyes only.

    Raises:
        UserError: updates of the actions alone are asked for.
    """
    if asked and _can(policy):
        more = f"raise learner.cache_gb={cache_gb}, or set learner.acting_updates=0"
        raise UserError(f"learner.acting_updates={asked} beside a streamed dataset: {more}")
    if asked is None and _can(policy):
        more = f"raise the learner's cache_gb={cache_gb}, or set its acting_updates=0"
        warnings.warn(f"actions learn beside the eyes only, for the dataset is streamed: {more}", stacklevel=2)


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
    mean = ranks.mean(float(np.mean(losses[-100:])), policy.device)
    took = time.perf_counter() - since
    print(f"{updates} updates of the actions by true places: loss {mean:.4f}, {took:.0f} s", flush=True)
    return {"sft/acting_loss": mean, "timing/acting_seconds": took}


def number_of(policy: LeRobotPolicy, asked: int | None, updates: int, batches: Batches | None) -> int:
    """How many updates there are: ``asked``, or where nothing is, half of ``updates`` if there are batches; a blind
    twin has none.

    Raises:
        UserError: some are asked for, and there are no batches.
    """
    if batches is not None:
        return updates // 2 if asked is None else asked
    if asked and not getattr(policy.config, "blind", False):
        why = "no demonstration tells all places (recording.places=true)"
        raise UserError(
            f"learner.acting_updates={asked}: {why if _can(policy) else 'nothing that acts is trained'}; set it to null"
        )
    return 0


def _can(policy: LeRobotPolicy) -> bool:
    """Whether there is something to teach by places alone."""
    return bool(getattr(policy.module, "acts_on_places", False))
