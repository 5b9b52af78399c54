"""Which reward models draw progress curves: fitted ones by their folders, and one by name that needs no fitting."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_reward.errors import UserError
from robo_reward.naming import reward_name
from robo_reward.recipe_changes import changes_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from robo_reward.contracts import RewardModel

STREAM = "video"
"""The camera that a video file stands for where nobody names one."""


def models_of(cfg: DictConfig) -> dict[str, RewardModel]:
    """Name -> reward model, as ``reward_model`` and ``reward_models`` say; a run's own where they say nothing.

    Raises:
        UserError: without a model, for the same one twice, for the simulator's own signal, and for one by name that is
            yet to be fitted.
    """
    from robo_reward.build import load_reward_model, trusted_by

    models = {}
    if by_name(cfg):
        model = _built(cfg)
        models[reward_name(model)] = model
    for name, path in _named_paths(cfg):
        if name in models:
            raise UserError(f"two reward models are called '{name}': name them, reward_models='{{other: {path}}}'")
        own = changes_of(cfg.reward_model) if str(path) == str(cfg.reward_model.get("path")) else None
        models[name] = load_reward_model(path, trusted_by(cfg.reward_model), own)
    for name, model in models.items():
        if not getattr(model, "prices", True):
            raise UserError(f"the reward model '{name}' has no opinion: there is no curve to draw")
        if model.needs.oracle != "none":
            raise UserError(f"the reward model '{name}' is the simulator's own signal; it cannot price pictures")
    return models


def by_name(cfg: DictConfig) -> bool:
    """Whether ``reward_model=NAME`` says which one, not a folder."""
    return cfg.reward_model.get("path") is None and cfg.reward_model.get("_target_") is not None


def _built(cfg: DictConfig) -> RewardModel:
    """The model of the group, for the cameras of what is drawn."""
    from omegaconf import open_dict

    from robo_reward.build import build_reward_model
    from robo_reward.traits import is_unfitted

    with open_dict(cfg):
        cfg.views = list(cfg.views) if cfg.views else _cameras(cfg)
    model = build_reward_model(cfg.reward_model)
    if is_unfitted(model, cfg.reward_model):
        raise UserError(
            f"reward_model={reward_name(model)} is not fitted yet, so it has nothing to say: run robo-reward fit, and "
            "give reward_model.path=FOLDER"
        )
    return model


def _cameras(cfg: DictConfig) -> list[str]:
    from robo_reward.data.dataset_source import open_dataset

    if cfg.video is not None:
        return [cfg.view or STREAM]
    return sorted(open_dataset(data_of(cfg)).image_keys())


def data_of(cfg: DictConfig) -> str:
    """The dataset that is drawn: the given one, or the episodes that the run kept.

    Raises:
        UserError: the run kept none.
    """
    data = str(cfg.data) if cfg.data is not None else str(Path(str(cfg.run)) / "episodes")
    if cfg.run is not None and not Path(data).is_dir():
        raise UserError(f"run='{cfg.run}' kept no episodes ('{data}' is missing); draw a dataset with data=")
    return data


def _named_paths(cfg: DictConfig) -> list[tuple[str, Path]]:
    from omegaconf import OmegaConf

    if cfg.run is not None and not (Path(str(cfg.run)) / "config.yaml").is_file():
        raise UserError(f"run='{cfg.run}' is not a run folder (it has no config.yaml)")
    several: Any = cfg.reward_models or []
    several = several if isinstance(several, str) else OmegaConf.to_container(OmegaConf.create(several), resolve=True)
    path = cfg.reward_model.get("path")
    paths = [] if path is None else [Path(str(path))]
    if isinstance(several, Mapping):
        return _named(paths) + [(str(name), Path(str(path))) for name, path in several.items()]
    paths += [Path(str(path)) for path in several] if isinstance(several, list) else [Path(str(several))]
    if paths or by_name(cfg):
        return _named(paths)
    if cfg.run is None:
        raise UserError(
            "curves of data= or video= need reward_model.path=FOLDER, as robo-reward fit wrote it, or the NAME of one "
            "that needs no fitting (reward_model=gvl)"
        )
    return _named([_own_model(Path(str(cfg.run)))])


def keeps_every_frame(cfg: DictConfig) -> bool:
    """Whether what is drawn holds all frames; a simulated run keeps those only that its reward looked at."""
    return cfg.run is None or "arm" in _notes(Path(str(cfg.run)))


def _own_model(run: Path) -> Path:
    """The run's reward model; of an arm's run, which trained none, that of its policy's train run."""
    source = _notes(run).get("run")
    own = run / "reward_model"
    return Path(str(source)) / "reward_model" if source is not None and not own.is_dir() else own


def _notes(run: Path) -> Mapping[str, Any]:
    from robo_reward.runs.folder import read_summary

    held = read_summary(run) if (run / "summary.json").is_file() else {}
    notes: Mapping[str, Any] = held.get("notes") or {}
    return notes


def _named(paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """Short names: the folder's, or its run's, also where it is given as ``.``; whole paths where they are the same."""
    whole = [Path(os.path.abspath(path)) for path in paths]
    short = [path.parent.name or path.name if path.name == "reward_model" else path.name for path in whole]
    if len(set(whole)) < len(whole):
        raise UserError(f"the same reward model is given twice: {', '.join(map(str, paths))}")
    return [(str(p) if short.count(s) > 1 else s, p) for s, p in zip(short, paths, strict=True)]
