"""Negatives made without a simulator: rewinds and early stops of demonstrations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robo_reward.trace import Trace


@dataclass(frozen=True, slots=True)
class LabelledFrames:
    """Frames of one trace with what they are worth: ``index`` into its kept frames, ``progress`` in [0, 1]."""

    trace: Trace
    index: NDArray[np.int64]
    progress: NDArray[np.float32]


def demonstrated(trace: Trace) -> LabelledFrames:
    """Progress t / T of a demonstration's frames; T is its end, a few steps past success, where labels reach 1.

    Labels that reached 1 at the first success would let a policy stop short of it.
    """
    steps = max(len(trace), 1)
    progress = (trace.frame_steps / steps).astype(np.float32)
    return LabelledFrames(trace, np.arange(len(progress)), progress)


def rewound(trace: Trace, rng: np.random.Generator) -> LabelledFrames:
    """A demonstration run forward to a random frame and then backward: progress falls again (ReWiND)."""
    forward = demonstrated(trace)
    turn = int(rng.integers(1, max(len(forward.index), 2)))
    back = int(rng.integers(1, turn + 1))
    index = np.concatenate([np.arange(turn + 1), np.arange(turn - 1, turn - back - 1, -1)])
    index = np.clip(index, 0, len(forward.index) - 1)
    return LabelledFrames(trace, index, forward.progress[index])


def stopped_early(trace: Trace, rng: np.random.Generator) -> LabelledFrames:
    """A demonstration that freezes half-way: the last frame repeats and progress stays where it was."""
    forward = demonstrated(trace)
    count = len(forward.index)
    stop = int(rng.integers(0, max(count - 1, 1)))
    index = np.concatenate([np.arange(stop + 1), np.full(count - stop - 1, stop)])
    return LabelledFrames(trace, index, forward.progress[index])
