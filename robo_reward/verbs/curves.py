"""Draws progress curves of a run, a dataset or a video with one or several fitted reward models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from robo_reward.answer_counts import note_counts
from robo_reward.bounds import check_bounds
from robo_reward.errors import UserError
from robo_reward.naming import reward_name
from robo_reward.report.curve_models import by_name, data_of, keeps_every_frame, models_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from robo_reward.contracts import RewardModel
    from robo_reward.report.curve import PricedEpisode

SOURCES = ("run", "data", "video")
LEAST = {"seed": 0, "max_episodes": 1, "max_frames": 2}
"""The least that a number may be."""
MOST_FRAMES = 600
"""Of a video; longer ones are thinned evenly."""
AT_ONCE = 8
"""Episodes of a dataset that are in memory together while its RA-BC file is made."""


def run(cfg: DictConfig) -> None:
    """Prices the episodes and writes what ``format`` asks for.

    Raises:
        UserError: not exactly one of run, data and video; no reward model; an unknown format; a number or list that
            makes no sense; or what the readers say.
    """
    from robo_reward.report.curve_outputs import check_formats, no_pictures, write_outputs
    from robo_reward.runs.folder import RunFolder

    check_bounds(cfg, LEAST)
    _check_lists(cfg)
    formats = check_formats([cfg.format] if isinstance(cfg.format, str) else list(cfg.format))
    given = [key for key in SOURCES if cfg[key] is not None]
    if len(given) != 1:
        raise UserError(f"curves needs exactly one of run=, data= and video=, got {', '.join(given) or 'none'}")
    if "rabc" in formats and cfg.video is not None:
        raise UserError("format=rabc weighs the frames of a dataset: give data=DATASET (or run=), not video=")
    _check_meant(cfg, given[0])
    if "mp4" in formats and cfg.video is None and not _has_cameras(cfg):
        raise no_pictures()
    models = models_of(cfg)
    name = Path(str(cfg[given[0]])).name
    drawn = [kind for kind in formats if kind != "rabc"]
    episodes = _priced(cfg, models) if drawn else []
    with RunFolder.create("curves", name, cfg, cfg.run_dir, tensorboard=False) as folder:
        folder.summary.reward_model = ", ".join(map(reward_name, models.values()))
        folder.summary.episodes = len(episodes)
        note_counts(folder.summary, *models.values())
        subtitle = f"{cfg[given[0]]}, priced by {', '.join(models)}"
        write_outputs(folder.path, drawn, name, subtitle, episodes)
        written = [f"{len(episodes)} episode(s) as {', '.join(drawn)}"] if drawn else []
        if "rabc" in formats:
            written += _write_rabc(cfg, folder.path, models)
            note_counts(folder.summary, *models.values())
    print(f"{folder.path / 'index.html' if 'html' in formats else folder.path}: {'; '.join(written)}")


def _check_lists(cfg: DictConfig) -> None:
    for key, example, least in (("episodes", "[0,3]", 0), ("size", "[128,128]", 1)):
        value = cfg[key]
        listed = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []
        whole = all(isinstance(one, int) and not isinstance(one, bool) and one >= least for one in listed)
        if value is not None and not (listed and whole):
            raise UserError(f"{key}={value} must list whole numbers of {least} or more, e.g. {key}={example}")
    if cfg.episodes is not None and len(set(cfg.episodes)) < len(cfg.episodes):
        raise UserError(f"episodes={cfg.episodes} names an episode twice")
    if cfg.size is not None and len(cfg.size) != 2:
        raise UserError(f"size={cfg.size} must be [height,width]")


def _check_meant(cfg: DictConfig, source: str) -> None:
    """Refuses settings that would say nothing here."""
    if cfg.views is not None and not by_name(cfg):
        raise UserError(
            f"views={cfg.views} is for reward_model=NAME; a fitted reward looks at its own cameras: leave it out"
        )
    if source == "video":
        if cfg.episodes is not None:
            raise UserError(f"episodes={cfg.episodes} chooses of a dataset, a video is one episode: leave it out")
        return
    for key in ("view", "max_frames"):
        if cfg[key] is not None:
            raise UserError(f"{key}={cfg[key]} is for video=FILE, not for {source}=: leave it out")


def _has_cameras(cfg: DictConfig) -> bool:
    from robo_reward.data.dataset_source import open_dataset

    return bool(open_dataset(data_of(cfg)).image_keys())


# --- episodes ------------------------------------------------------------------------------------------------------


def _priced(cfg: DictConfig, models: Mapping[str, RewardModel]) -> list[PricedEpisode]:
    from robo_reward.report.curve_sources import price_episode, video_trace

    if cfg.video is not None:
        path = Path(cfg.video)
        trace = video_trace(path, str(cfg.task), cfg.view, models, cfg.max_frames or MOST_FRAMES)
        return [price_episode(path.stem, trace, models, _size(cfg), thin=False)]
    numbers = _episodes(cfg)
    return _read_and_price(cfg, models, numbers if cfg.episodes is not None else numbers[: int(cfg.max_episodes)])


def _read_and_price(cfg: DictConfig, models: Mapping[str, RewardModel], numbers: Sequence[int]) -> list[PricedEpisode]:
    from robo_reward.report.curve_sources import common_stride, dataset_traces, price_episode, views_of

    thin = keeps_every_frame(cfg)
    stride = common_stride(models.values()) if thin else 1
    # where no model reads pictures, all are shown
    traces = dataset_traces(data_of(cfg), views_of(models.values()) or None, numbers, stride, cfg.task.strip() or None)
    size = _size(cfg)
    return [price_episode(f"episode {n}", trace, models, size, thin=thin, index=n) for n, trace in traces.items()]


def _episodes(cfg: DictConfig) -> list[int]:
    from robo_reward.data.dataset_source import open_dataset

    if cfg.episodes is not None:
        return [int(index) for index in cfg.episodes]
    return [int(row["episode_index"]) for row in open_dataset(data_of(cfg)).episodes]


def _size(cfg: DictConfig) -> tuple[int, int] | None:
    return None if cfg.size is None else (int(cfg.size[0]), int(cfg.size[1]))


# --- LeRobot's RA-BC -----------------------------------------------------------------------------------------------


def _write_rabc(cfg: DictConfig, folder: Path, models: Mapping[str, RewardModel]) -> list[str]:
    """One progress file per model, over every episode: a frame without a row would count as a good one."""
    from robo_reward.data.dataset_source import open_dataset
    from robo_reward.report.curve import Curve
    from robo_reward.report.curve_outputs import stems
    from robo_reward.report.rabc_file import NAME, rabc_parquet
    from robo_reward.runs import atomic

    numbers, curves = _episodes(cfg), dict[str, dict[int, Curve]]()
    for start in range(0, len(numbers), AT_ONCE):
        chosen = numbers[start : start + AT_ONCE]
        for number, episode in zip(chosen, _read_and_price(cfg, models, chosen), strict=True):
            for model, curve in episode.curves.items():
                curves.setdefault(model, {})[number] = curve
    written = []
    for model, name in zip(curves, stems(list(curves)), strict=True):
        priced, path = curves[model], folder / (NAME if len(models) == 1 else f"{name}-{NAME}")
        atomic.write_bytes(path, rabc_parquet(open_dataset(data_of(cfg)), priced.items(), model))
        written.append(f"{len(priced)} episode(s) by {model} for lerobot-train --sample_weighting.progress_path={path}")
    return written
