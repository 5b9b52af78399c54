"""fit: demonstrations -> an audited reward model that train, curves and others can use."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_reward.bounds import check_bounds
from robo_reward.default_views import name_views
from robo_reward.errors import UserError
from robo_reward.fitting.dividing import divide, is_stepped, stored_splits
from robo_reward.naming import world_name

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from robo_reward.contracts import LearnedRewardModel
    from robo_reward.fitting.episodes import Episode
    from robo_reward.fitting.splits import Split
    from robo_reward.runs.folder import RunFolder

LEAST = {
    "seed": 0,
    "threads": 1,
    "demos": 1,
    "hold": 0,
    "negatives.random": 0,
    "negatives.replay": 0,
    "negatives.hollow": 0,
    **{f"negatives.{kind}": 0 for kind in ("stopped", "clipped", "rewound", "reversed", "counterfactual", "perturbed")},
}
"""The least that a number may be."""
EXPERT_DEMOS = 5


def run(cfg: DictConfig) -> None:
    """Fits, audits on held-out episodes and saves ``reward_model/`` in the run folder.

    Raises:
        UserError: neither env nor data, a reward model that is not learned, unknown views, unusable demonstrations.
    """
    check_bounds(cfg, LEAST)
    from robo_reward.fitting.adapting import rehearsed, take_up, without_held_out
    from robo_reward.fitting.card import push, pushes_only

    if pushes_only(cfg):
        return
    sources = _sources(cfg)
    take_up(cfg)
    import torch

    from robo_reward.audit_record import write_short_record
    from robo_reward.runs.folder import RunFolder

    torch.set_num_threads(cfg.threads)
    model = _model(cfg, sources)
    name = Path(sources[0]).name if sources else world_name(cfg.env)
    with RunFolder.create("fit", name, cfg, cfg.run_dir, tensorboard=False) as folder:
        demonstrations = _demonstrations(cfg, model, sources)
        old = rehearsed(cfg, model.needs.views, demonstrations)
        stored = stored_splits(cfg, [*demonstrations, *old])
        print(f"run folder: {folder.path}\n{len(demonstrations)} demonstration(s)", flush=True)
        old = without_held_out(old, stored)
        positive, negative = divide(cfg, model, demonstrations, stored, folder)
        _fit(cfg, model, positive, negative, old, folder)
        report = _audit(cfg, model, positive, negative, folder)
        _save(cfg, model, positive, negative, old, folder)
        if report is not None:
            write_short_record(folder.path / "reward_model", report, len(positive.held_out))
        push(cfg, folder.path / "reward_model")


def _sources(cfg: DictConfig) -> list[str]:
    """The datasets; none means the expert of env."""
    from omegaconf import ListConfig

    sources = [str(s) for s in cfg.data] if isinstance(cfg.data, ListConfig) else [str(cfg.data)] * bool(cfg.data)
    if not sources and not is_stepped(cfg):
        raise UserError(
            "fit needs demonstrations: env=metaworld env.task=door-open (its scripted expert gives them), "
            "or data=DATASET (a LeRobotDataset, local folder or hub id)"
        )
    if cfg.reward_model.get("path") is not None:
        raise UserError(
            f"reward_model.path={cfg.reward_model.path} is a model that is fitted already; "
            "leave it out to fit a new one, or use it with train or curves"
        )
    return sources


def _model(cfg: DictConfig, sources: Sequence[str]) -> LearnedRewardModel:
    from robo_reward.build import build_reward_model
    from robo_reward.contracts import LearnedRewardModel
    from robo_reward.fitting.episodes import AdaptableRewardModel
    from robo_reward.traits import is_unfitted

    name_views(cfg, sources)
    model = build_reward_model(cfg.reward_model)
    if not isinstance(model, LearnedRewardModel):
        raise UserError(f"{type(model).__name__} is not learned, so there is nothing to fit: use reward_model=progress")
    if cfg.adapt_from is None and not is_unfitted(model, cfg.reward_model):
        raise UserError(
            f"nothing in this {type(model).__name__} is left to fit: what is learned in it came from its path already. "
            "Leave out the path of what is to be fitted anew, or use it as it is with audit, train or curves"
        )
    if cfg.adapt_from is not None and not isinstance(model, AdaptableRewardModel):
        raise UserError(
            f"adapt_from={cfg.adapt_from}: {type(model).__name__} cannot be adapted; only step_prm can so far. "
            "Leave adapt_from out to fit anew"
        )
    return model


def _demonstrations(cfg: DictConfig, model: LearnedRewardModel, sources: Sequence[str]) -> list[Episode]:
    from robo_reward.fitting.episodes import Episode

    if not sources:
        return _expert(cfg, model)
    from robo_reward.data.dataset_source import open_dataset
    from robo_reward.data.datasets import read_dataset

    episodes = []
    for source in sources:
        wanted = [int(row["episode_index"]) for row in open_dataset(source).episodes][: cfg.demos]
        traces = read_dataset(source, views=model.needs.views, episodes=wanted)
        episodes += [Episode(trace, source, k) for k, trace in enumerate(traces)]
    return episodes


def _expert(cfg: DictConfig, model: LearnedRewardModel) -> list[Episode]:
    from robo_reward.data.demonstrations import collect_demonstrations
    from robo_reward.fitting.episodes import Episode
    from robo_reward.gathering import build_expert_world
    from robo_reward.seeding import derive_seed

    world = build_expert_world(cfg.env)
    try:
        count, seed = cfg.demos or EXPERT_DEMOS, derive_seed(cfg.seed, "demonstrations")
        traces, dropped = collect_demonstrations(world, count, seed, cfg.hold, model.needs.views)
    finally:
        world.close()
    if dropped:
        print(f"{dropped} failed attempt(s) of the expert dropped", file=sys.stderr)
    return [Episode(trace, f"expert of {world.name}", k) for k, trace in enumerate(traces)]


def _fit(
    cfg: DictConfig,
    model: LearnedRewardModel,
    positive: Split,
    negative: Split,
    old: Sequence[Episode],
    folder: RunFolder,
) -> None:
    from robo_reward.fitting.episodes import AdaptableRewardModel

    shown, failures = [e.trace for e in positive.fitted], [e.trace for e in negative.fitted]
    try:
        if cfg.adapt_from is not None and isinstance(model, AdaptableRewardModel):
            losses = model.adapt(shown, failures, cfg.seed, [e.trace for e in old])
            folder.summary.notes["rehearsed"] = len(old)
        else:
            losses = model.fit(shown, failures, cfg.seed)
    except UserError as error:
        if not is_stepped(cfg) and "random episodes" in str(error):
            error.add_note(
                "this fit had no simulator (env=none), so no random episodes: name one with "
                "env=metaworld env.task=NAME, or use reward_model=progress, which can do without"
            )
        raise
    folder.log(0, dict(losses))


def _audit(cfg: DictConfig, model: LearnedRewardModel, positive: Split, negative: Split, folder: RunFolder) -> Any:
    from robo_reward.audit_record import known_numbers
    from robo_reward.build import build

    if not cfg.audit.get("_target_"):
        return None
    report = build(cfg.audit).run(model, positive.audited(), [e.trace for e in negative.held_out])
    values = known_numbers(report.values)
    folder.log(0, {**values, "audit/verdict": report.verdict})
    folder.summary.reward_audit = report.verdict
    folder.summary.notes |= values
    on = f"{len(positive.held_out)} held-out" if positive.held_out else "the fitted"
    print(f"audit on {on} demonstration(s), {len(negative.held_out)} held-out negative(s): {report.verdict}")
    for name, value in values.items():
        shown = "not measured" if value is None else f"{value:.3f}"
        missed = "  missed" if name in report.failed else ""
        print(f"  {name.removeprefix('audit/'):<24} {shown}{missed}")
    return report


def _save(
    cfg: DictConfig,
    model: LearnedRewardModel,
    positive: Split,
    negative: Split,
    old: Sequence[Episode],
    folder: RunFolder,
) -> None:
    from robo_reward.answer_counts import note_counts
    from robo_reward.build import save_reward_model
    from robo_reward.fitting.adapting import saved_split
    from robo_reward.fitting.card import env_words, write_card
    from robo_reward.fitting.splits import FILE, on_record
    from robo_reward.naming import reward_name
    from robo_reward.runs import atomic

    target = folder.path / "reward_model"
    save_reward_model(model, cfg.reward_model, target)
    split = on_record(positive, negative, old, saved_split(cfg))
    atomic.write_json(target / FILE, split)
    summary = folder.summary
    summary.reward_model = reward_name(model)
    note_counts(summary, model)
    summary.demos = len(positive.fitted) + len(positive.held_out)
    summary.used_env_reward = summary.used_env_success = False
    first = positive.fitted[0].trace
    matches = model.estimate_episode(first.every(model.needs.stride)).match is not None
    # train's default reward is a match, which only models of whole episodes give
    more = [*env_words(), *([] if matches else ["transform=potential"])]
    write_card(cfg, model.needs.views, split, folder, more)
    print(f"use it: robo-reward train {' '.join([f'reward_model.path={target}', *more])}")
    print(f"        robo-reward curves data=DATASET reward_model.path={target}")
