"""Failures that need no simulator: clipped, rewound and reversed copies of demonstrations (RoboReward, ReWiND)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from robo_reward.fitting.episodes import Episode
from robo_reward.trace import Trace

Order = Callable[[int, np.random.Generator], NDArray[np.int64]]
NEAR = 0.9
"""Copies show at most this share of the frames before success: later ones hardly differ from a success."""


def copies(demonstrations: Sequence[Episode], kind: str, count: int, rng: np.random.Generator) -> list[Episode]:
    """``count`` copies of kind ``clipped``, ``rewound`` or ``reversed``, demonstration after demonstration.

    None of them shows a success. They keep the ``video`` of the episode they are made of, so that a split by video
    never has a copy on one side and its original on the other. Their source is ``replay``: failures whose progress is
    not told frame by frame; ``meta["progress"]`` and ``meta["score"]`` tell what the last frame is worth.
    """
    made = []
    for k in range(count if demonstrations else 0):
        episode = demonstrations[k % len(demonstrations)]
        shown = _before_success(episode.trace)
        if shown >= 2:
            trace = _reordered(episode.trace, ORDERS[kind](shown, rng))
            made.append(Episode(trace, f"{episode.origin}, {kind}", episode.number, episode.video))
    return made


def clipped_order(shown: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The first frames only, two or more: RoboReward's temporal clipping."""
    return np.arange(int(rng.integers(2, shown + 1)))


def rewound_order(shown: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Forward to a random frame and back by a random number of frames: ReWiND's rewind."""
    turn = int(rng.integers(1, shown))
    back = int(rng.integers(1, turn + 1))
    return np.concatenate([np.arange(turn + 1), np.arange(turn - 1, turn - back - 1, -1)])


def reversed_order(shown: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """From just before success back to the start: Robometer's reversed clips."""
    return np.arange(shown)[::-1].copy()


ORDERS: dict[str, Order] = {"clipped": clipped_order, "rewound": rewound_order, "reversed": reversed_order}


def score(progress: float) -> int:
    """RoboReward's 1 to 4 for an episode that ends at ``progress`` in [0, 1) without success; 5 is success alone.

    The paper lets a vision-language model assign it; quarters of the way are our stand-in.
    """
    return min(4, 1 + int(4 * progress))


def _before_success(trace: Trace) -> int:
    """How many kept frames a copy may show."""
    success = trace.success_step
    before = int((trace.frame_steps < (len(trace) + 1 if success is None else success)).sum())
    return int(NEAR * before)


def _reordered(trace: Trace, order: NDArray[np.int64]) -> Trace:
    """The kept frames in another order, one step apart as before; nobody acted so, and the actions are zero."""
    gap = max(1, round(float(np.median(np.diff(trace.frame_steps)))))
    frame_steps = np.arange(len(order), dtype=np.int64) * gap
    steps = np.interp(np.arange(frame_steps[-1] + 1), frame_steps, trace.frame_steps[order]).round().astype(np.int64)
    progress = float(trace.frame_steps[order[-1]]) / max(1, len(trace))
    return replace(
        trace,
        state=trace.state[steps],
        action=np.zeros((len(steps) - 1, trace.action.shape[1]), np.float32),
        frames={view: frames[order] for view, frames in trace.frames.items()},
        frame_steps=frame_steps,
        source="replay",
        success=None,
        env_reward=None,
        estimate=None,
        reward=None,
        meta={"progress": progress, "score": float(score(progress))},
    )
