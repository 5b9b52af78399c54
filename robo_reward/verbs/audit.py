"""audit: the report card of a reward model, stored beside its weights: can it be trusted in training?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_reward.answer_counts import note_counts
from robo_reward.bounds import check_bounds, check_views
from robo_reward.default_views import NO_WORLD, name_views
from robo_reward.errors import NoOracle, UserError
from robo_reward.naming import reward_name, world_name

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from robo_reward.contracts import RewardModel, World
    from robo_reward.fitting.episodes import Episode
    from robo_reward.runs.summary import Summary

EXPERT_HORIZON = 300
"""Simulator steps of an audit episode where none are configured."""
LEAST = {
    "seed": 0,
    "threads": 1,
    "episodes": 2,
    "attack.n": 2,
    "attack.generations": 1,
    "attack.population": 4,
    "card.probe_episodes": 1,
}
"""The least that a number may be."""


def run(cfg: DictConfig) -> None:
    """Audits the model on held-out episodes; writes ``audit.json`` and ``audit.html`` beside the weights.

    Raises:
        UserError: no model, neither env nor data, a number out of range, or what the stages say.
    """
    check_bounds(cfg, LEAST)
    folder = _model_folder(cfg)
    _take_env(cfg)
    if cfg.data is not None:
        from robo_reward.data.dataset_source import one_dataset

        cfg.data = one_dataset(cfg.data)
    if cfg.data is None and not _stepped(cfg):
        raise UserError(
            "audit needs episodes: env=metaworld env.task=drawer-open (its scripted expert gives them), "
            "or data=DATASET (a LeRobotDataset of held-out episodes)"
        )
    import torch

    from robo_reward.build import build, save_reward_model
    from robo_reward.runs.folder import RunFolder

    torch.set_num_threads(cfg.threads)
    model = _model(cfg, folder)
    card = build(_card(cfg))
    with RunFolder.create("audit", _name(cfg, folder), cfg, cfg.run_dir, tensorboard=False) as out:
        report = _audit(cfg, card, model, folder)
        if folder is None:  # it needs no fitting: what was audited is kept here
            folder = out.path / "reward_model"
            save_reward_model(model, cfg.reward_model, folder)
        _store(report, folder, out.path, cfg)
        _describe(out.summary, report, model, folder)
        _say(report, folder)


def _model_folder(cfg: DictConfig) -> Path | None:
    """Where the weights are; None for a reward model from the yaml alone."""
    from omegaconf import OmegaConf

    from robo_reward.build import model_folder

    path = OmegaConf.select(cfg, "reward_model.path")
    if cfg.run is not None and path is not None:
        raise UserError("audit takes reward_model.path=FOLDER or run=RUN, not both")
    given = cfg.run if path is None else path
    return None if given is None else model_folder(given)


def _model(cfg: DictConfig, folder: Path | None) -> RewardModel:
    from omegaconf import open_dict

    from robo_reward.build import build_reward_model
    from robo_reward.traits import is_unfitted

    with open_dict(cfg.reward_model):
        cfg.reward_model.path = None if folder is None else str(folder)
    name_views(cfg, [] if cfg.data is None else [str(cfg.data)])
    model = build_reward_model(cfg.reward_model)
    if is_unfitted(model, cfg.reward_model):
        raise UserError(
            f"{type(model).__name__} is not fitted, so there is nothing to audit yet: give reward_model.path=FOLDER, "
            "as robo-reward fit wrote it, or run=RUN"
        )
    return model


def _take_env(cfg: DictConfig) -> None:
    """With ``run`` and no env, the run's own env."""
    from omegaconf import OmegaConf

    from robo_reward.build import read_recipe
    from robo_reward.trust import check_recipe

    source = Path(cfg.run) / "config.yaml" if cfg.run is not None else None
    if source is None or _stepped(cfg) or cfg.data is not None or not source.is_file():
        return
    held = read_recipe(source)
    env = held.get("env") if isinstance(held, dict) else None
    if env is not None:
        check_recipe(env, source, "robo_reward.envs")
        OmegaConf.set_struct(cfg, False)
        cfg.env = env


def _stepped(cfg: DictConfig) -> bool:
    return bool(cfg.env["_target_"] != NO_WORLD)


def _card(cfg: DictConfig) -> Any:
    """The card's config with the verb's attack, which needs a world."""
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(cfg.card, resolve=True)
    attack = cfg.attack if _stepped(cfg) else None
    return plain | {"attack": None if attack is None else OmegaConf.to_container(attack, resolve=True)}


def _name(cfg: DictConfig, folder: Path | None) -> str:
    if _stepped(cfg):
        return world_name(cfg.env)
    return folder.parent.name if folder is not None else "reward"


def _audit(cfg: DictConfig, card: Any, model: RewardModel, folder: Path | None) -> dict[str, Any]:
    """The report, on recorded episodes or on episodes collected in the world."""
    known = 0
    tasks = {} if cfg.tasks is None else {"other_tasks": _other_tasks(cfg.tasks)}
    world = _world(cfg, model) if _stepped(cfg) else None
    attacked = world if getattr(world, "has_success_test", True) else None
    try:
        if world is not None and attacked is None and cfg.data is None:
            raise UserError(
                f"'{world.name}' has no success test, so that nobody can tell a success: give one with "
                "env.success=module:function, or held-out episodes with next.success by data=DATASET"
            )
        if cfg.data is not None:
            from robo_reward.data.datasets import read_dataset
            from robo_reward.demonstration_sizes import check_recorded_sizes
            from robo_reward.fitting.episodes import Episode, check_demonstrations

            traces = read_dataset(str(cfg.data), views=model.needs.views, assume_success_at_end=False)
            recorded = [Episode(trace, str(cfg.data), k) for k, trace in enumerate(traces)]
            check_demonstrations(recorded)
            if attacked is not None and cfg.attack is not None:
                check_recorded_sizes(attacked, traces, str(cfg.data), states=not model.needs.views)
            known = fitted_on(recorded, folder)
            episodes = card.sort(traces, model, cfg.seed)
        else:
            episodes = card.collect(world, cfg.episodes, model, cfg.seed)
        print(f"{len(episodes.episodes)} episode(s) to audit on", flush=True)
        report: dict[str, Any] = card.run(model, episodes, cfg.seed, attacked, **tasks)
    finally:
        if world is not None:
            world.close()
    if known:
        report["reasons"].append(f"{known} of {len(traces)} episodes were fitted on: give some that it has not seen")
        report["verdict"] = "care" if report["verdict"] == "pass" else report["verdict"]
    source = str(cfg.data) if cfg.data is not None else None
    return report | {"env": None if world is None else world.name, "data": source}


def _other_tasks(said: Any) -> list[str]:
    """The instructions of ``wrong_instruction``; one alone needs no list. UserError for none, or an empty one."""
    tasks = [said] if isinstance(said, str) else list(said) if isinstance(said, Sequence) else []
    if not tasks or not all(isinstance(task, str) and task.strip() for task in tasks):
        raise UserError(
            f"tasks={said} must list instructions that the episodes do not fulfil, e.g. tasks=['close the drawer']; "
            "leave it out for instructions of our own, which are told and not judged"
        )
    return tasks


def fitted_on(recorded: Sequence[Episode], folder: Path | None) -> int:
    """How many of these episodes the model was fitted on, as far as the split beside its weights tells."""
    from robo_reward.fitting.splits import FILE, read_split

    if folder is None or not (folder / FILE).is_file():
        return 0
    stored = read_split(folder)
    return sum("fitted" in stored.sides(episode) for episode in recorded)


def _world(cfg: DictConfig, model: RewardModel) -> World:
    """One copy, in this process, that pays its own reward, if it has one: for measurement only. UserError if it does
    not show what the model reads.
    """
    from robo_reward.build import build_world

    env, more = cfg.env, dict[str, Any]()
    if "views" in env and model.needs.views:
        more["views"] = list(model.needs.views)
    size = getattr(model, "frame_size", None)
    if size is not None and "height" in env:
        more["height"], more["width"] = size
    if "horizon" in env and env.horizon is None and "task" in env:
        more["horizon"] = EXPERT_HORIZON
    if "workers" in env:
        more["workers"] = "in_process"
    try:
        world = build_world(env, num_worlds=1, oracle="reward", **more)
    except NoOracle:  # then there is no distance to it either
        world = build_world(env, num_worlds=1, oracle="none", **more)
    check_views(world, model.needs.views)
    return world


def _store(report: dict[str, Any], folder: Path, out: Path, cfg: DictConfig) -> None:
    from robo_reward.audit_record import PAGE, weights_sha256, write_record
    from robo_reward.model_parts import parts_of
    from robo_reward.report.audit_page import audit_page
    from robo_reward.runs import atomic
    from robo_reward.runs.summary import installed_versions

    report["no_hash"] = list(parts_of(folder).elsewhere)
    report |= {"weights_sha256": weights_sha256(folder), "task": cfg.env.get("task"), "versions": installed_versions()}
    for place in (folder, out):  # first: whatever happens to the page, what was measured is kept
        write_record(place, report)
    page = audit_page(report, str(folder))
    for place in (folder, out):
        atomic.write_text(place / PAGE, page)
    (out / "report").mkdir(exist_ok=True)
    atomic.write_text(out / "report" / "index.html", page)


def _describe(summary: Summary, report: dict[str, Any], model: RewardModel, folder: Path) -> None:
    summary.reward_model, summary.reward_audit = reward_name(model), report["verdict"]
    note_counts(summary, model)
    summary.env, summary.episodes = report["env"], sum(k["episodes"] for k in report["episodes"].values())
    summary.used_env_reward = summary.used_env_success = False  # measured against it; nothing was updated
    summary.notes = {"reward_model_path": str(folder), "reasons": report["reasons"], **report["figures"]}


def _say(report: dict[str, Any], folder: Path) -> None:
    print(f"verdict: {report['verdict']}")
    for reason in report["reasons"]:
        print(f"  {reason}")
    if report["not_measured"]:
        print(f"  not measured: {', '.join(report['not_measured'])}")
    if report["no_hash"]:
        print(f"  no hash covers what answers at {', '.join(report['no_hash'])}: audit again when it changes")
    print(f"stored beside the weights: {folder / 'audit.json'}; page: {folder / 'audit.html'}")
