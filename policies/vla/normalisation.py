"""Statistics that normalise states and actions: from episodes in memory, and whether a checkpoint's fit the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError
from robo_reward.policies.vla.features import ACTION, STATE, full_key
from robo_reward.trace import Trace

Stats = dict[str, dict[str, Any]]
PICTURES = 200
"""Pictures a view whose colours are averaged."""
FAR = 4.0
"""A mean so many standard deviations away, or a spread so many times another one, is other data."""
NARROW = 10.0
"""Data spread over so much less than a checkpoint's in most of what moves are in another unit; degrees are 57 times
radians. One dimension that hardly moves in a task is none, and one that never moves tells nothing."""
STILL = 1e-3
"""What is spread over less does not move."""


def stats_of_traces(traces: Sequence[Trace], views: Sequence[str]) -> Stats:
    """LeRobot's statistics of states, actions and pictures (in [0, 1], per channel), float32."""
    stats = {
        STATE: _stats(np.concatenate([trace.state for trace in traces])),
        ACTION: _stats(np.concatenate([trace.action for trace in traces])),
    }
    for view in views:
        picked = [trace.frames[view][:: max(1, len(trace.frame_steps) * len(traces) // PICTURES)] for trace in traces]
        pixels = np.concatenate([part.reshape(-1, 3) for part in picked])[:: max(1, len(traces))] / 255.0
        stats[full_key(view)] = {
            name: value if name == "count" else value.reshape(3, 1, 1) for name, value in _stats(pixels).items()
        }
    return stats


def check_stats(kind: str, theirs: Mapping[str, Mapping[str, Any]], ours: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses data that a checkpoint's normalisation of actions and states would distort.

    Raises:
        UserError: with both values of the first dimension that differs.
    """
    for key in (ACTION, STATE):
        if not {"mean", "std"} <= set(theirs.get(key, {})) or "mean" not in ours.get(key, {}):
            continue
        mean, std = (_flat(theirs[key][name]) for name in ("mean", "std"))
        other, spread = (_flat(ours[key][name]) for name in ("mean", "std"))
        if len(mean) != len(other):
            raise UserError(f"the {kind} checkpoint normalises {key} of size {len(mean)}, the data's has {len(other)}")
        floor = STILL + 0.05 * std.max()
        off = np.abs(other - mean) > FAR * np.maximum(std, floor)
        off |= spread > FAR * np.maximum(std, floor)
        off |= _narrow(std, spread, floor)
        if off.any():
            k = int(np.argmax(off))
            raise UserError(
                f"the {kind} checkpoint normalises {key}[{k}] by mean {mean[k]:.3g} and deviation {std[k]:.3g}, the "
                f"data have {other[k]:.3g} and {spread[k]:.3g}: another unit or robot? policy.normalisation=data takes "
                "the data's, policy.normalisation=checkpoint keeps the checkpoint's"
            )


def _narrow(std: NDArray[np.float64], spread: NDArray[np.float64], floor: float) -> NDArray[np.bool_]:
    """Where data are far narrower than a checkpoint, if most of what moves in both is."""
    moves = (std > floor) & (spread > STILL)
    narrow = moves & (spread * NARROW < std)
    found: NDArray[np.bool_] = narrow & (2 * narrow.sum() > moves.sum())
    return found


def _stats(values: NDArray[Any]) -> dict[str, Any]:
    flat = values.astype(np.float64)
    low, high = np.quantile(flat, (0.01, 0.99), axis=0)
    found = {"mean": flat.mean(0), "std": flat.std(0), "min": flat.min(0), "max": flat.max(0), "q01": low, "q99": high}
    return {**{name: v.astype(np.float32) for name, v in found.items()}, "count": np.array([len(flat)])}


def _flat(values: Any) -> NDArray[np.float64]:
    return np.asarray(values, np.float64).reshape(-1)
