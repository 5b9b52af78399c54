"""What progress curves are drawn of: the episodes of a run, of a dataset, or one video file; and their
prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from robo_reward.contracts import Frames, RewardModel
from robo_reward.data.datasets import read_dataset
from robo_reward.data.video import read_video
from robo_reward.errors import UserError, unknown_name
from robo_reward.report.plots import Curve
from robo_reward.trace import Trace


@runtime_checkable
class Sized(Protocol):
    """A reward model that was fitted on pictures of one size."""

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """(height, width), None without pictures."""
        ...


def dataset_traces(
    path: str, model: RewardModel, episodes: Sequence[int] | None, stride: int | None = None
) -> dict[str, Trace]:
    """The episodes of a LeRobotDataset v3 with what the model reads, by title; ``stride`` None is the model's own.

    Raises:
        UserError: as ``read_dataset``; in particular where a view of the model is missing.
    """
    stride = model.needs.stride if stride is None else stride
    traces = read_dataset(path, model.needs.views, episodes, stride, assume_success_at_end=False, source="dataset")
    numbers = range(len(traces)) if episodes is None else episodes
    return {f"episode {number}": trace for number, trace in zip(numbers, traces, strict=True)}


def video_trace(path: Path, task: str, view: str | None, model: RewardModel, max_frames: int) -> Trace:
    """A video as an episode without states and actions; its one stream stands for every view of the model.

    Raises:
        UserError: no task, the model reads no pictures, or it reads several views and ``view`` names none of
        them.
    """
    views = model.needs.views
    if not task.strip():
        raise UserError('a video needs the instruction that it follows: task="open the drawer"')
    if not views:
        raise UserError("this reward model reads states, not pictures, so it cannot price a video")
    if view is not None and view not in views:
        raise unknown_name("view of this reward model", view, views)
    if view is None and len(views) > 1:
        raise UserError(
            f"this reward model reads {len(views)} views ({', '.join(views)}), a video is one; "
            f"view={views[0]} shows it to all of them, at the price of an estimate that it was not fitted for"
        )
    frames, fps = read_video(path, max_frames)
    count = len(frames)
    return Trace(
        task=task,
        state=np.zeros((count, 0), np.float32),
        action=np.zeros((count - 1, 0), np.float32),
        frames=dict.fromkeys(views, frames),
        frame_steps=np.arange(count),
        fps=fps,
        source="video",
    )


def price(model: RewardModel, trace: Trace, size: tuple[int, int] | None = None) -> Curve:
    """The progress curve (F,) at the trace's kept frames; pictures are scaled to what the model was fitted on.

    ``size`` (height, width) says so for a model that does not know.
    """
    if size is None and isinstance(model, Sized):
        size = model.frame_size
    shown = trace if size is None else replace(trace, frames=_scaled(trace.frames, size))
    estimate = model.estimate_episode(shown)
    success = None if trace.success is None else bool(trace.success.any())
    return Curve(trace.frame_steps, estimate.progress, estimate.uncertainty, success)


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
