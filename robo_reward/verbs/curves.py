"""Draws progress curves of a run, a dataset or a video with a fitted reward model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from robo_reward.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from robo_reward.contracts import RewardModel
    from robo_reward.report.plots import Curve
    from robo_reward.trace import Trace

SOURCES = ("run", "data", "video")


def run(cfg: DictConfig) -> None:
    """Prices the episodes and writes ``index.html``, ``curves.svg``, ``curves.png``, ``curves.jsonl`` and film strips.

    Raises:
        UserError: not exactly one of run, data and video; no reward model; or what the readers say.
    """
    given = [key for key in SOURCES if cfg[key] is not None]
    if len(given) != 1:
        raise UserError(f"curves needs exactly one of run=, data= and video=, got {', '.join(given) or 'none'}")
    from robo_reward.build import load_reward_model
    from robo_reward.report.curve_sources import price
    from robo_reward.runs.folder import RunFolder

    path = _model_path(cfg)
    model = load_reward_model(path)
    if model.needs.oracle != "none":
        raise UserError(f"the reward model '{path}' is the simulator's own signal; it cannot price pictures")
    name = Path(str(cfg[given[0]])).name
    traces = _traces(cfg, model)
    size = None if cfg.size is None else (int(cfg.size[0]), int(cfg.size[1]))
    curves = {title: price(model, trace, size) for title, trace in traces.items()}
    with RunFolder.create("curves", name, cfg, cfg.run_dir, tensorboard=False) as folder:
        folder.summary.reward_model, folder.summary.episodes = type(model).__name__, len(curves)
        _write(folder.path, name, f"{len(curves)} episode(s) of {cfg[given[0]]}, priced by {path}", traces, curves)
        if cfg.overlay:
            _write_overlays(folder.path, traces, curves)
    print(f"{folder.path / 'index.html'}: {len(curves)} progress curve(s)")


def _model_path(cfg: DictConfig) -> Path:
    if cfg.reward_model.path is not None:
        return Path(cfg.reward_model.path)
    if cfg.run is None:
        raise UserError("curves of data= or video= need reward_model.path=FOLDER, as robo-reward fit wrote it")
    if not (Path(cfg.run) / "config.yaml").is_file():
        raise UserError(f"run='{cfg.run}' is not a run folder (it has no config.yaml)")
    return Path(cfg.run) / "reward_model"


def _traces(cfg: DictConfig, model: RewardModel) -> dict[str, Trace]:
    from robo_reward.data.dataset_source import open_dataset
    from robo_reward.report.curve_sources import dataset_traces, video_trace

    if cfg.video is not None:
        trace = video_trace(Path(cfg.video), str(cfg.task), cfg.view, model, int(cfg.max_frames))
        return {Path(cfg.video).stem: trace}
    data = str(cfg.data) if cfg.data is not None else str(Path(cfg.run) / "episodes")
    if cfg.run is not None and not Path(data).is_dir():
        raise UserError(f"run='{cfg.run}' kept no episodes ('{data}' is missing); draw a dataset with data=")
    episodes = None if cfg.episodes is None else [int(index) for index in cfg.episodes]
    if episodes is None:
        known = [int(row["episode_index"]) for row in open_dataset(data).episodes]
        episodes = known[: int(cfg.max_episodes)]
    # a run keeps only the frames that its reward looked at
    return dataset_traces(data, model, episodes, stride=1 if cfg.run is not None else None)


def _write(folder: Path, title: str, subtitle: str, traces: Mapping[str, Trace], curves: Mapping[str, Curve]) -> None:
    from robo_reward.report.pages import pick_frames, write_curves_page
    from robo_reward.report.plots import curves_figure, strip_figure, to_png, to_svg
    from robo_reward.runs import atomic

    strips = {}
    for name, trace in traces.items():
        if not trace.frames:
            continue
        strips[name] = pick_frames(next(iter(trace.frames.values())), curves[name])
        figure = strip_figure(strips[name].frames, strips[name].progress, strips[name].steps)
        atomic.write_bytes(folder / f"strip-{_stem(name)}.png", to_png(figure))
    atomic.write_text(folder / "curves.jsonl", "".join(_line(n, traces[n].task, c) for n, c in curves.items()))
    figure = curves_figure(curves)
    atomic.write_text(folder / "curves.svg", to_svg(figure))
    atomic.write_bytes(folder / "curves.png", to_png(figure))
    write_curves_page(folder, title, curves, strips, subtitle)


def _line(name: str, task: str, curve: Curve) -> str:
    row: dict[str, object] = {"episode": name, "task": task, "success": curve.success}
    row |= {"steps": curve.steps.tolist(), "progress": [round(float(p), 6) for p in curve.progress]}
    if curve.uncertainty is not None:
        row["uncertainty"] = [round(float(u), 6) for u in curve.uncertainty]
    return json.dumps(row) + "\n"


def _write_overlays(folder: Path, traces: Mapping[str, Trace], curves: Mapping[str, Curve]) -> None:
    from robo_reward.data.video import write_video
    from robo_reward.report.overlay import overlay

    for name, trace in traces.items():
        if trace.frames:
            shown = overlay(next(iter(trace.frames.values())), curves[name])
            stride = max(1, round(len(trace) / max(1, len(trace.frame_steps) - 1)))
            write_video(folder / f"overlay-{_stem(name)}.mp4", shown, trace.fps / stride)


def _stem(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)
