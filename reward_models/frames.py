"""From traces to the labelled tensors that progress networks are fitted on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robo_reward.errors import UserError
from robo_reward.fitting.episodes import check_lengths
from robo_reward.reward_models.image_encoder import stack_views
from robo_reward.reward_models.instruction import embed_instruction
from robo_reward.reward_models.negatives import LabelledFrames, demonstrated, rewound, stopped_early
from robo_reward.reward_models.progress_fit import FrameSet
from robo_reward.trace import Trace


def inputs_of(trace: Trace, views: Sequence[str]) -> Tensor:
    """What a network reads of the trace's kept frames: stacked images, or the states without views."""
    if views:
        return stack_views(trace.frames, views)
    return torch.from_numpy(trace.state[trace.frame_steps])


def task_vector(text: str) -> Tensor:
    """The instruction as a (32,) tensor."""
    return torch.from_numpy(embed_instruction(text))


def check_demonstrations(traces: Sequence[Trace], stride: int) -> None:
    """Refuses demonstrations that nothing can be learned from.

    Raises:
        UserError: without demonstrations, without an annotated success, or with one shorter than two strides.
    """
    if not traces:
        raise UserError("a progress reward needs at least 1 demonstration, got 0: set demos=1 or data=DATASET")
    check_lengths(traces, stride)
    for number, trace in enumerate(traces):
        if trace.success_step is None:
            raise UserError(
                f"demonstration {number} ({trace.task!r}) is nowhere annotated as a success (next.success): "
                "drop it (lerobot-edit-dataset), or record it anew, saying where it succeeded"
            )


def positive_set(traces: Sequence[Trace], views: Sequence[str], settle: int) -> FrameSet:
    """Demonstrations: progress from time; success 0 before the annotated step and 1 from ``settle`` steps after it.

    The first successful frames look like near misses: a detector that learned them also calls hovering just short of
    the goal a success.
    """
    parts = []
    for number, trace in enumerate(traces):
        labels = demonstrated(trace)
        parts.append(_frames(labels, views, number, _success_labels(trace, settle)))
    return _concatenate(parts)


def artificial_set(traces: Sequence[Trace], views: Sequence[str], rng: np.random.Generator) -> FrameSet | None:
    """Rewound and early-stopped copies of the demonstrations, whose order in time disagrees with progress.

    Frame labels are those of the demonstration; what is new is the pairing for the hop head.
    """
    made = [make(trace, rng) for trace in traces for make in (rewound, stopped_early)]
    parts = [_frames(m, views, k, np.full(len(m.index), np.nan, np.float32)) for k, m in enumerate(made)]
    return _concatenate(parts) if parts else None


def own_set(traces: Sequence[Trace], views: Sequence[str]) -> FrameSet:
    """A policy's judged successes: progress from time until their end, nothing about success."""
    parts = []
    for number, trace in enumerate(traces):
        labels = demonstrated(trace)
        parts.append(_frames(labels, views, number, np.full(len(labels.index), np.nan, np.float32)))
    return _concatenate(parts)


def negative_set(traces: Sequence[Trace], views: Sequence[str], hard_after: int) -> FrameSet | None:
    """Random episodes: progress 0, success 0. Replays: success 0 after step ``hard_after``, progress unknown."""
    parts = []
    for number, trace in enumerate(traces):
        count = len(trace.frame_steps)
        late = trace.frame_steps >= hard_after
        if trace.source == "replay":
            progress = np.full(count, np.nan, np.float32)
            success = np.where(late, 0.0, np.nan).astype(np.float32)
        else:
            progress, success = np.zeros(count, np.float32), np.zeros(count, np.float32)
        kept = np.flatnonzero(~(np.isnan(progress) & np.isnan(success)))
        if len(kept):
            labels = LabelledFrames(trace, kept, progress[kept])
            parts.append(_frames(labels, views, number, success[kept]))
    return _concatenate(parts) if parts else None


def settled_step(trace: Trace, settle: int) -> int:
    """The step from which a demonstration's frames count as success: ``settle`` after the first, but before its end."""
    first = trace.success_step
    assert first is not None  # check_demonstrations ran before
    return min(first + settle, max(first, int(trace.frame_steps[-1]) - 1))


def _success_labels(trace: Trace, settle: int) -> NDArray[np.float32]:
    steps, first = trace.frame_steps, trace.success_step
    assert first is not None  # check_demonstrations ran before
    labels = np.where(steps >= settled_step(trace, settle), 1.0, np.nan)
    return np.where(steps < first, 0.0, labels).astype(np.float32)


def _frames(labels: LabelledFrames, views: Sequence[str], number: int, success: NDArray[np.float32]) -> FrameSet:
    count = len(labels.index)
    return FrameSet(
        inputs_of(labels.trace, views)[torch.from_numpy(labels.index)],
        torch.from_numpy(labels.progress),
        torch.from_numpy(success),
        torch.full((count,), number, dtype=torch.long),
        task_vector(labels.trace.task).expand(count, -1),
    )


def _concatenate(parts: Sequence[FrameSet]) -> FrameSet:
    return FrameSet(
        torch.cat([p.inputs for p in parts]),
        torch.cat([p.progress for p in parts]),
        torch.cat([p.success for p in parts]),
        torch.unique_consecutive(torch.cat([p.episode for p in parts]), return_inverse=True)[1],
        torch.cat([p.task for p in parts]),
    )
