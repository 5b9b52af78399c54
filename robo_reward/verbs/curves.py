"""Draws progress curves of a run, a dataset or a video with one or several fitted reward models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robo_reward.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from robo_reward.contracts import RewardModel
    from robo_reward.report.curve import PricedEpisode

SOURCES = ("run", "data", "video")
AT_ONCE = 8
"""Episodes of a dataset that are in memory together while its RA-BC file is made."""


def run(cfg: DictConfig) -> None:
    """Prices the episodes and writes what ``format`` asks for.

    Raises:
        UserError: not exactly one of run, data and video; no reward model; an unknown format; or what the readers say.
    """
    from robo_reward.report.curve_outputs import check_formats, write_outputs
    from robo_reward.runs.folder import RunFolder

    formats = check_formats([cfg.format] if isinstance(cfg.format, str) else list(cfg.format))
    given = [key for key in SOURCES if cfg[key] is not None]
    if len(given) != 1:
        raise UserError(f"curves needs exactly one of run=, data= and video=, got {', '.join(given) or 'none'}")
    if "rabc" in formats and cfg.video is not None:
        raise UserError("format=rabc weighs the frames of a dataset: give data=DATASET (or run=), not video=")
    models = _models(cfg)
    name = Path(str(cfg[given[0]])).name
    drawn = [kind for kind in formats if kind != "rabc"]
    episodes = _priced(cfg, models) if drawn else []
    with RunFolder.create("curves", name, cfg, cfg.run_dir, tensorboard=False) as folder:
        folder.summary.reward_model = ", ".join(type(model).__name__ for model in models.values())
        folder.summary.episodes = len(episodes)
        subtitle = f"{cfg[given[0]]}, priced by {', '.join(models)}"
        write_outputs(folder.path, drawn, name, subtitle, episodes)
        written = [f"{len(episodes)} episode(s) as {', '.join(drawn)}"] if drawn else []
        if "rabc" in formats:
            written += _write_rabc(cfg, folder.path, models)
    print(f"{folder.path / 'index.html' if 'html' in formats else folder.path}: {'; '.join(written)}")


# --- reward models -----------------------------------------------------------------------------------------------


def _models(cfg: DictConfig) -> dict[str, RewardModel]:
    from robo_reward.build import load_reward_model

    models = {}
    for name, path in _named_paths(cfg).items():
        models[name] = load_reward_model(path)
        if models[name].needs.oracle != "none":
            raise UserError(f"the reward model '{path}' is the simulator's own signal; it cannot price pictures")
    return models


def _named_paths(cfg: DictConfig) -> dict[str, Path]:
    from omegaconf import OmegaConf

    several = OmegaConf.to_container(cfg.reward_models, resolve=True) if cfg.reward_models else []
    paths = [] if cfg.reward_model.path is None else [Path(str(cfg.reward_model.path))]
    if isinstance(several, Mapping):
        return _named(paths) | {str(name): Path(str(path)) for name, path in several.items()}
    paths += [Path(str(path)) for path in several] if isinstance(several, list) else [Path(str(several))]
    if not paths and cfg.run is None:
        raise UserError("curves of data= or video= need reward_model.path=FOLDER, as robo-reward fit wrote it")
    if cfg.run is not None and not (Path(str(cfg.run)) / "config.yaml").is_file():
        raise UserError(f"run='{cfg.run}' is not a run folder (it has no config.yaml)")
    return _named(paths or [Path(str(cfg.run)) / "reward_model"])


def _named(paths: Sequence[Path]) -> dict[str, Path]:
    """Short names: the folder's, or its run's; whole paths where those would be the same."""
    short = [path.parent.name or path.name if path.name == "reward_model" else path.name for path in paths]
    if len(set(paths)) < len(paths):
        raise UserError(f"the same reward model is given twice: {', '.join(map(str, paths))}")
    return {str(p) if short.count(s) > 1 else s: p for s, p in zip(short, paths, strict=True)}


# --- episodes ------------------------------------------------------------------------------------------------------


def _priced(cfg: DictConfig, models: Mapping[str, RewardModel]) -> list[PricedEpisode]:
    from robo_reward.report.curve_sources import price_episode, video_trace

    if cfg.video is not None:
        path = Path(cfg.video)
        trace = video_trace(path, str(cfg.task), cfg.view, models, int(cfg.max_frames))
        return [price_episode(path.stem, trace, models, _size(cfg), thin=False)]
    numbers = _episodes(cfg)
    return _read_and_price(cfg, models, numbers if cfg.episodes is not None else numbers[: int(cfg.max_episodes)])


def _read_and_price(cfg: DictConfig, models: Mapping[str, RewardModel], numbers: Sequence[int]) -> list[PricedEpisode]:
    from robo_reward.report.curve_sources import common_stride, dataset_traces, price_episode, views_of

    # a run keeps only the frames that its reward looked at
    thin = cfg.run is None
    stride = common_stride(models.values()) if thin else 1
    # where no model reads pictures, all are shown
    traces = dataset_traces(_data(cfg), views_of(models.values()) or None, numbers, stride)
    size = _size(cfg)
    return [price_episode(f"episode {n}", trace, models, size, thin=thin, index=n) for n, trace in traces.items()]


def _data(cfg: DictConfig) -> str:
    data = str(cfg.data) if cfg.data is not None else str(Path(str(cfg.run)) / "episodes")
    if cfg.run is not None and not Path(data).is_dir():
        raise UserError(f"run='{cfg.run}' kept no episodes ('{data}' is missing); draw a dataset with data=")
    return data


def _episodes(cfg: DictConfig) -> list[int]:
    from robo_reward.data.dataset_source import open_dataset

    if cfg.episodes is not None:
        return [int(index) for index in cfg.episodes]
    return [int(row["episode_index"]) for row in open_dataset(_data(cfg)).episodes]


def _size(cfg: DictConfig) -> tuple[int, int] | None:
    return None if cfg.size is None else (int(cfg.size[0]), int(cfg.size[1]))


# --- LeRobot's RA-BC -----------------------------------------------------------------------------------------------


def _write_rabc(cfg: DictConfig, folder: Path, models: Mapping[str, RewardModel]) -> list[str]:
    """One progress file per model, over every episode: a frame without a row would count as a good one."""
    from robo_reward.data.dataset_source import open_dataset
    from robo_reward.report.curve import Curve
    from robo_reward.report.curve_outputs import stem
    from robo_reward.report.rabc_file import NAME, rabc_parquet
    from robo_reward.runs import atomic

    numbers, curves = _episodes(cfg), dict[str, dict[int, Curve]]()
    for start in range(0, len(numbers), AT_ONCE):
        chosen = numbers[start : start + AT_ONCE]
        for number, episode in zip(chosen, _read_and_price(cfg, models, chosen), strict=True):
            for model, curve in episode.curves.items():
                curves.setdefault(model, {})[number] = curve
    written = []
    for model, priced in curves.items():
        path = folder / (NAME if len(models) == 1 else f"{stem(model)}-{NAME}")
        atomic.write_bytes(path, rabc_parquet(open_dataset(_data(cfg)), priced.items(), model))
        written.append(f"{len(priced)} episode(s) for lerobot-train --sample_weighting.progress_path={path}")
    return written
