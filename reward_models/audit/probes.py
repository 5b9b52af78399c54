"""Episodes that nobody acted, made from recorded ones: what a reward says of them tells what it reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robo_reward.trace import Trace


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
