"""Which pictures of an episode a judge is shown, and how they stand in its question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Frames
from robo_reward.errors import UserError
from robo_reward.reward_models.judges.backend import Prompt
from robo_reward.trace import Trace


def check_episode(trace: Trace, views: Sequence[str]) -> None:
    """Refuses what cannot be judged.

    Raises:
        UserError: without an instruction, without a kept frame, with a missing view, or with pictures that are none.
    """
    if not trace.task.strip():
        raise UserError(
            "this episode has no instruction, and a judge needs to know what was to be done: set env.task, record the "
            'dataset with its task, or for a video give task="open the drawer"'
        )
    missing = [view for view in views if view not in trace.frames]
    if missing:
        raise UserError(
            f"the judge looks at view(s) {missing}, but the frames have {sorted(trace.frames)}: set env.views"
        )
    if len(trace.frame_steps) == 0:
        raise UserError("an episode without kept frames cannot be judged: keep at least its last frame")
    for view in views:
        frames = trace.frames[view]
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
            raise UserError(f"view {view!r} holds {frames.dtype} {frames.shape}, not pictures (F, H, W, 3) uint8")


def spread(last: int, count: int) -> NDArray[np.int64]:
    """At most ``count`` indices from 0 to ``last``, evenly spread, both ends included; of one, the last."""
    if count == 1:
        return np.asarray([last], np.int64)
    return np.unique(np.linspace(0, last, count).round().astype(np.int64))


def show(trace: Trace, views: Sequence[str], indices: Iterable[int], label: str = "Frame") -> Prompt:
    """Pictures of the kept frames at ``indices``, numbered from 1 in this order, every view of a frame together."""
    parts: list[str | Frames] = []
    seen = f" ({', '.join(views)})" if len(views) > 1 else ""
    for number, index in enumerate(indices, 1):
        parts.append(f"{label} {number}{seen}:")
        parts += [trace.frames[view][index] for view in views]
    return tuple(parts)
