"""What progress curves are drawn of: the episodes of a run, of a dataset, or one video file; and their
prices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Frames, RewardModel
from robo_reward.data.datasets import read_dataset
from robo_reward.data.video import read_video
from robo_reward.errors import UserError, unknown_name
from robo_reward.estimate_check import checked
from robo_reward.report.curve import Curve, PricedEpisode
from robo_reward.trace import Trace


@runtime_checkable
class Sized(Protocol):
    """A reward model that was fitted on pictures of one size."""

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """(height, width), None without pictures."""
        ...


@runtime_checkable
class MarksMilestones(Protocol):
    """A reward model that knows the frames of an episode from which it measures hops."""

    def milestone_frames(self, trace: Trace) -> NDArray[np.int64]:
        """Rows of ``trace.frame_steps``, ascending."""
        ...


@runtime_checkable
class EveryInterval(Protocol):
    """A reward model whose ``milestones`` head makes every ``interval``-th priced frame a milestone."""

    head: str
    interval: int | None


def views_of(models: Iterable[RewardModel]) -> tuple[str, ...]:
    """The cameras that at least one of the models reads, each once."""
    return tuple(dict.fromkeys(view for model in models for view in model.needs.views))


def common_stride(models: Iterable[RewardModel]) -> int:
    """The largest stride whose multiples hold every model's own."""
    return math.gcd(*(model.needs.stride for model in models))


def dataset_traces(
    path: str, views: Sequence[str] | None, episodes: Sequence[int] | None, stride: int, task: str | None = None
) -> dict[int, Trace]:
    """The episodes of a LeRobotDataset v3 by number, with pictures of ``views`` (None: of all).

    ``task``: the instruction that they are shown with, in place of their own; nobody knows whether an episode that was
    recorded under another one succeeded at it.

    Raises:
        UserError: as ``read_dataset``; in particular where a view is missing.
    """
    traces = read_dataset(path, views, episodes, stride, assume_success_at_end=False, source="dataset")
    if task is not None:
        traces = [trace if trace.task == task else replace(trace, task=task, success=None) for trace in traces]
    return dict(zip(range(len(traces)) if episodes is None else episodes, traces, strict=True))


def video_trace(path: Path, task: str, view: str | None, models: Mapping[str, RewardModel], max_frames: int) -> Trace:
    """A video as an episode without states and actions; its one stream stands for every view of the models.

    Raises:
        UserError: no task, a model reads no pictures, one picture alone, or a model reads several views and ``view``
        names none of them.
    """
    if not task.strip():
        raise UserError('a video needs the instruction that it follows: task="open the drawer"')
    for name, model in models.items():
        _check_stream(name, model.needs.views, view)
    frames, fps = read_video(path, max_frames)
    count = len(frames)
    if count < 2:
        raise UserError(f"the video '{path}' holds one picture; progress along an episode takes two or more")
    return Trace(
        task=task,
        state=np.zeros((count, 0), np.float32),
        action=np.zeros((count - 1, 0), np.float32),
        frames=dict.fromkeys(views_of(models.values()), frames),
        frame_steps=np.arange(count),
        fps=fps,
        source="video",
    )


def _check_stream(name: str, views: Sequence[str], view: str | None) -> None:
    if not views:
        raise UserError(f"the reward model '{name}' reads states, not pictures, so it cannot price a video")
    if view is not None and view not in views:
        raise unknown_name(f"view of the reward model '{name}'", view, views)
    if view is None and len(views) > 1:
        raise UserError(
            f"the reward model '{name}' reads {len(views)} views ({', '.join(views)}), a video is one; "
            f"view={views[0]} shows it to all of them, at the price of an estimate that it was not fitted for"
        )


def price_episode(
    name: str,
    trace: Trace,
    models: Mapping[str, RewardModel],
    size: tuple[int, int] | None = None,
    *,
    thin: bool,
    index: int | None = None,
) -> PricedEpisode:
    """What every model says of a trace; with ``thin`` each looks only at every ``needs.stride``-th step.

    Raises:
        UserError: a model answers with another length than it was asked for, or with numbers that are not finite.
    """
    curves = {}
    for title, model in models.items():
        seen = trace.every(model.needs.stride) if thin else trace
        if model.needs.views:
            seen = replace(seen, frames={view: seen.frames[view] for view in model.needs.views})
        curves[title] = price(model, seen, size, title)
    # One stream of a video may stand for several views; it is shown once.
    shown: dict[str, Frames] = {}
    for view, frames in trace.frames.items():
        if not any(frames is other for other in shown.values()):
            shown[view] = frames
    success = None if trace.success is None else bool(trace.success.any())
    return PricedEpisode(
        name,
        trace.task,
        trace.fps,
        trace.frame_steps,
        shown,
        curves,
        index,
        success,
        trace.success_step,
        lost_step(trace),
    )


def lost_step(trace: Trace) -> int | None:
    """The first step after the last annotated success; None where it lasts to the end or never was."""
    if trace.success is None or not trace.success.any() or trace.success[-1]:
        return None
    return int(np.flatnonzero(trace.success)[-1]) + 1


def price(model: RewardModel, trace: Trace, size: tuple[int, int] | None = None, name: str = "") -> Curve:
    """The progress curve (F,) at the trace's kept frames; pictures are scaled to what the model was fitted on.

    ``size`` (height, width) says so for a model that does not know; ``name`` stands in errors.

    Raises:
        UserError: the model answers with another length, or with numbers that are not finite.
    """
    if size is None and isinstance(model, Sized):
        size = model.frame_size
    shown = trace if size is None else replace(trace, frames=_scaled(trace.frames, size))
    estimate = checked(model.estimate_episode(shown), len(trace.frame_steps), name or type(model).__name__)
    success = None if trace.success is None else bool(trace.success.any())
    return Curve(
        trace.frame_steps,
        estimate.progress,
        estimate.uncertainty,
        success,
        estimate.gain,
        estimate.success,
        trace.frame_steps[_milestones(model, shown)],
    )


def _milestones(model: RewardModel, trace: Trace) -> NDArray[np.int64]:
    if isinstance(model, MarksMilestones):
        return np.asarray(model.milestone_frames(trace), np.int64)
    spread = getattr(model, "uniform", None) is not None
    if isinstance(model, EveryInterval) and model.head == "milestones" and model.interval is not None and not spread:
        return np.arange(model.interval, len(trace.frame_steps), model.interval, dtype=np.int64)
    return np.zeros(0, np.int64)


def _scaled(frames: Mapping[str, Frames], size: tuple[int, int]) -> dict[str, Frames]:
    from PIL import Image

    def scale(view: Frames) -> Frames:
        if view.shape[1:3] == size:
            return view
        shape = (size[1], size[0])
        return np.stack([np.asarray(Image.fromarray(f).resize(shape, Image.Resampling.BOX)) for f in view])

    # One stream may stand for several views; it is scaled once.
    done: dict[int, Frames] = {}
    return {name: done.setdefault(id(view), scale(view)) for name, view in frames.items()}
