"""One trace as one file, exact to the bit: what a resumed run needs; a dataset's video changes the pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from robo_reward.runs.checkpoint import load_state, save_state
from robo_reward.trace import Trace


def state_of(trace: Trace) -> dict[str, Any]:
    """What a trace is made of without its prices, for ``save_state``; ``Trace(**state)`` takes it back."""
    return {
        "task": trace.task,
        "state": trace.state,
        "action": trace.action,
        "frames": {k: np.ascontiguousarray(v) for k, v in trace.frames.items()},
        "frame_steps": trace.frame_steps,
        "fps": trace.fps,
        "source": trace.source,
        "terminated": trace.terminated,
        "truncated": trace.truncated,
        "success": trace.success,
        "env_reward": trace.env_reward,
        "meta": dict(trace.meta),
        "places": trace.places,
        "points": None if trace.points is None else dict(trace.points),
    }


def write_trace(path: Path, trace: Trace) -> None:
    """Writes the trace without its prices; ``path`` gives folder and stem."""
    save_state(path.parent, path.stem, state_of(trace))


def read_trace(path: Path) -> Trace:
    """Reads what ``write_trace`` wrote."""
    return Trace(**load_state(path.parent, path.stem))
