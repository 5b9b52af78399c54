"""Episodes that nobody acted, made from recorded ones: what a reward says of them tells what it reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from robo_reward.trace import Trace

Paint = Callable[[str, NDArray[np.uint8]], NDArray[np.uint8]]
"""A view's name and its frames (F, H, W, 3) to frames of the same shape."""


def shown(trace: Trace, index: ArrayLike) -> Trace:
    """The episode that shows the kept frames ``index`` (L,) of ``trace`` one after another, states included.

    Frames stay as far apart as they were; the last one of an episode, which may be nearer, is moved to that distance.
    Actions are zero.
    """
    order = np.asarray(index, np.int64)
    gap = max(1, int(np.median(np.diff(trace.frame_steps)))) if len(trace.frame_steps) > 1 else 1
    steps = np.arange(len(order)) * gap
    held = trace.frame_steps[order[np.arange(int(steps[-1]) + 1) // gap]]
    return replace(
        trace,
        frames={k: v[order] for k, v in trace.frames.items()},
        frame_steps=steps,
        state=trace.state[held],
        action=np.zeros((int(steps[-1]), trace.action.shape[1]), np.float32),
        success=None,
        env_reward=None,
        estimate=None,
        reward=None,
    )


def painted(trace: Trace, paint: Paint) -> Trace:
    """The episode as a disturbed camera shows it: frames changed by ``paint``, everything else as it was."""
    return replace(trace, frames={k: paint(k, v) for k, v in trace.frames.items()}, estimate=None, reward=None)


def frozen(trace: Trace) -> Trace:
    """The episode of a robot that does not move: its first frame, again and again."""
    index = np.zeros(len(trace.frame_steps), np.int64)
    return replace(
        trace,
        frames={k: v[index] for k, v in trace.frames.items()},
        state=trace.state[:1].repeat(len(trace.state), 0),
    )


def rewound(trace: Trace) -> Trace:
    """The episode run forward and then backward to its start, one frame per step."""
    forward = np.arange(len(trace.frame_steps))
    index = np.concatenate([forward, forward[-2::-1]])
    steps = trace.frame_steps[index]
    return replace(
        trace,
        frames={k: v[index] for k, v in trace.frames.items()},
        frame_steps=np.arange(len(index)),
        state=trace.state[steps],
        action=np.zeros((len(index) - 1, trace.action.shape[1]), np.float32),
        success=None,
        env_reward=None,
    )


def turned(trace: Trace) -> Trace:
    """The episode from its end to its start; frames only, states and actions stay."""
    back = slice(None, None, -1)
    steps = trace.frame_steps[-1] - trace.frame_steps[back]
    return replace(trace, frames={k: v[back].copy() for k, v in trace.frames.items()}, frame_steps=steps)


def stopped(trace: Trace, share: float) -> Trace:
    """A near miss: the robot stops at ``share`` of the way to success and stays there until the episode's end."""
    count = len(trace.frame_steps)
    last = int(np.searchsorted(trace.frame_steps, share * (trace.success_step or len(trace)), "right")) - 1
    return shown(trace, np.minimum(np.arange(count), max(0, last)))
