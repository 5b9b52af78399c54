"""Episodes as tensors with hop labels: what the compact hop model is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robo_reward.contracts import Flags, Floats, Frames
from robo_reward.reward_models.frames import settled_step, task_vector
from robo_reward.reward_models.step_prm.discretise import discretise
from robo_reward.reward_models.step_prm.keyframes import KeyframeRule, find_keyframes
from robo_reward.reward_models.step_prm.pair_sampling import sample_pairs
from robo_reward.trace import Trace

Kind = Literal["demonstration", "idle", "failed"]


@dataclass(frozen=True, slots=True)
class HopEpisode:
    """One episode: ``images`` (F, 3V, H, W) uint8, ``progress`` (F,) NaN where unknown, ``task`` (32,), its text.

    ``pairs`` (P, 2) indices of frames with ``hops`` (P,): balanced; empty but for demonstrations. ``late``: indices of
    the frames of a failed replay that come after the time by which a demonstration has left its first third.
    """

    images: Tensor
    progress: Tensor
    task: Tensor
    text: str
    kind: Kind
    pairs: Tensor
    hops: Tensor
    late: Tensor


def stack_bytes(frames: dict[str, Frames], views: Sequence[str]) -> Tensor:
    """(F, 3V, H, W) uint8; a view that is missing is black (and masked where it counts)."""
    known = next(iter(frames.values()))
    blank = np.zeros_like(known)
    return torch.cat([torch.tensor(frames.get(view, blank)).permute(0, 3, 1, 2) for view in views], 1)


def demonstration_episodes(
    traces: Sequence[Trace],
    views: Sequence[str],
    settle: int,
    rule: KeyframeRule,
    chunk: int,
    pairs: int,
    rng: np.random.Generator,
) -> list[HopEpisode]:
    """Demonstrations with their balanced pairs; progress reaches 1 ``settle`` steps after the annotated success."""
    ends = [settled_step(trace, settle) for trace in traces]  # each is annotated: check_demonstrations
    made = []
    for trace, marks in zip(traces, find_keyframes(traces, ends, rule), strict=True):
        steps = discretise(marks, chunk)
        drawn = sample_pairs(steps, pairs, int(trace.frame_steps[-1]), rng)
        index = np.stack([_nearest(trace, drawn.before), _nearest(trace, drawn.after)], 1)
        progress = torch.from_numpy(steps.progress_at(trace.frame_steps))
        made.append(_episode(trace, views, "demonstration", progress, index, drawn.hop))
    return made


def negative_episodes(traces: Sequence[Trace], views: Sequence[str], first_success: int) -> list[HopEpisode]:
    """Random episodes and wrong instructions make no progress; a failed replay's progress is unknown."""
    made = []
    for trace in traces:
        count = len(trace.frame_steps)
        failed = trace.source == "replay"
        progress = torch.full((count,), float("nan") if failed else 0.0)
        none = np.zeros((0, 2), np.int64)
        late = trace.frame_steps >= 0.35 * first_success if failed else np.zeros(count, bool)
        made.append(
            _episode(trace, views, "failed" if failed else "idle", progress, none, np.zeros(0, np.float32), late)
        )
    return made


def _episode(
    trace: Trace,
    views: Sequence[str],
    kind: Kind,
    progress: Tensor,
    pairs: NDArray[np.int64],
    hops: Floats,
    late: Flags | None = None,
) -> HopEpisode:
    return HopEpisode(
        stack_bytes(dict(trace.frames), views),
        progress,
        task_vector(trace.task),
        trace.task,
        kind,
        torch.from_numpy(pairs),
        torch.from_numpy(hops),
        torch.from_numpy(np.flatnonzero(late if late is not None else np.zeros(len(progress), bool))),
    )


def _nearest(trace: Trace, steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which kept frames show the given steps, or the nearest to them."""
    known = trace.frame_steps
    right = np.searchsorted(known, steps).clip(0, len(known) - 1)
    left = np.maximum(right - 1, 0)
    return np.where(np.abs(known[left] - steps) <= np.abs(known[right] - steps), left, right)
