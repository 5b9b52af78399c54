"""The demonstrations and negatives of one fit, each in two parts: what is fitted on, and what only the audit sees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_reward.default_views import NO_WORLD
from robo_reward.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from robo_reward.contracts import LearnedRewardModel, World
    from robo_reward.fitting.episodes import Episode
    from robo_reward.fitting.splits import Split, StoredSplit
    from robo_reward.runs.folder import RunFolder

LISTED = 5
"""So many tasks are named in one line."""


def is_stepped(cfg: DictConfig) -> bool:
    """Whether there is a world to step failures in."""
    return bool(cfg.env["_target_"] != NO_WORLD)


def stored_splits(cfg: DictConfig, episodes: Sequence[Episode]) -> list[StoredSplit]:
    """What decided before: the model that is adapted, then ``split``.

    Raises:
        UserError: ``split`` knows none of the ``episodes``, new or rehearsed.
    """
    from robo_reward.fitting.adapting import saved_split
    from robo_reward.fitting.splits import read_split

    stored = [saved_split(cfg)]
    if cfg.adapt_from is not None and stored == [None]:
        print(f"adapt_from={cfg.adapt_from} has no split.json: what it was fitted on, and what not, is not known")
    if cfg.split is not None:
        stored.append(named := read_split(Path(cfg.split)))
        if not any(named.sides(episode) for episode in episodes):
            raise UserError(f"split={cfg.split} knows none of these demonstrations: it is of other data, leave it out")
    return [known for known in stored if known is not None]


def divide(
    cfg: DictConfig,
    model: LearnedRewardModel,
    demonstrations: list[Episode],
    stored: Sequence[StoredSplit],
    folder: RunFolder,
) -> tuple[Split, Split]:
    """Demonstrations and negatives, each split by video; copies land where the demonstrations they are made of are."""
    from robo_reward.fitting.episodes import check_demonstrations, check_pictures, check_successes
    from robo_reward.fitting.splits import Split, split
    from robo_reward.seeding import derive_rng

    check_demonstrations(demonstrations)
    check_successes(demonstrations)
    positive = split(demonstrations, cfg.held_out, derive_rng(cfg.seed, "split", "demonstrations"), stored)
    if not positive.fitted:
        named = " and ".join(f"{key}={cfg[key]}" for key in ("adapt_from", "split") if cfg[key] is not None)
        raise UserError(f"{named}: every one of these demonstrations is held out there: nothing is left to fit on")
    _say_tasks(positive, cfg.held_out)
    stepped = []
    if is_stepped(cfg):
        stepped = _stepped_negatives(cfg, model, [e.trace for e in positive.fitted], folder)
    copied = _copies(cfg, model, positive)
    check_pictures([*demonstrations, *stepped], model.needs.views)
    kinds = [[e for e in stepped if e.trace.source == kind] for kind in ("random", "replay")]
    parts = [split(kind, cfg.held_out, derive_rng(cfg.seed, "split", k)) for k, kind in enumerate(kinds)]
    fitted, held_out = ([e for p in (*parts, copied) for e in getattr(p, side)] for side in ("fitted", "held_out"))
    return positive, Split(fitted, held_out)


def _say_tasks(positive: Split, share: float) -> None:
    """Which tasks the audit sees nothing of, and which the model."""
    fitted, held_out = positive.tasks("fitted"), positive.tasks("held_out")
    unseen = [task for task in fitted if task not in held_out]
    if share and unseen:
        print(f"no demonstration is held out of {len(unseen)} of {len(fitted)} task(s): {_listed(unseen)}")
    unfitted = [task for task in held_out if task not in fitted]
    if unfitted:
        print(f"every demonstration of {len(unfitted)} task(s) was held out before: not fitted: {_listed(unfitted)}")


def _listed(tasks: Sequence[str]) -> str:
    more = f"; and {len(tasks) - LISTED} more" if len(tasks) > LISTED else ""
    return "; ".join(tasks[:LISTED]) + more


def _copies(cfg: DictConfig, model: LearnedRewardModel, positive: Split) -> Split:
    from robo_reward.build import build
    from robo_reward.fitting.all_copies import INSTRUCTED, choose_counts, make_copies
    from robo_reward.traits import traits_of

    asked = {kind: count for kind, count in cfg.negatives.items() if kind != "proposals"}
    tasks = len({e.trace.task for e in positive.fitted})
    reads = traits_of(model).reads_instructions
    for kind in INSTRUCTED:
        if asked[kind] and not reads:
            raise UserError(f"negatives.{kind}={asked[kind]}: {type(model).__name__} does not read instructions, set 0")
    counts = choose_counts(asked, is_stepped(cfg), tasks, reads)
    return make_copies(positive, counts, cfg.seed, build(cfg.negatives.proposals))


def _stepped_negatives(
    cfg: DictConfig, model: LearnedRewardModel, demonstrations: list[Any], folder: RunFolder
) -> list[Episode]:
    from robo_reward.build import build_world
    from robo_reward.fitting.episodes import episode_horizon, step_negatives

    horizon = episode_horizon(cfg.env, demonstrations)
    more = {} if horizon is None else {"horizon": horizon}
    world: World = build_world(cfg.env, num_worlds=1, workers="in_process", **more)
    try:
        wanted, needs = cfg.negatives, model.needs
        negatives = step_negatives(
            world, demonstrations, wanted.random, wanted.replay, cfg.seed, needs.views, needs.stride, wanted.hollow
        )
        summary = folder.summary
        summary.env, summary.rollouts = world.name, len(negatives)
        summary.env_steps = sum(len(e.trace) for e in negatives)
        summary.frames_rendered, summary.render_seconds = world.frames_rendered, round(world.render_seconds, 3)
    finally:
        world.close()
    return negatives
