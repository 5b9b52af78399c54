"""Where sub-tasks of a demonstration end: annotated, or found from gripper, velocity or a change of what is seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError, unknown_name
from robo_reward.trace import Trace

KeyframeRule = Literal["none", "annotated", "gripper", "velocity", "features"]
RULES: tuple[KeyframeRule, ...] = ("none", "annotated", "gripper", "velocity", "features")


def find_keyframes(traces: Sequence[Trace], ends: Sequence[int], rule: KeyframeRule, gap: int = 6) -> list[list[int]]:
    """Keyframes K_0 = 0 .. K_N = end of each demonstration, ascending, at least ``gap`` steps apart.

    ``ends``: the step at which each is done. Demonstrations of one task get one number of keyframes, the median of
    what is found, the clearest ones first: half a sub-task more or less would label equal moments differently.

    Raises:
        UserError: for an unknown rule, or ``annotated`` without annotations inside the demonstration.
    """
    if rule not in RULES:
        raise unknown_name("rule for keyframes", rule, RULES)
    found = [_candidates(trace, end, rule, gap) for trace, end in zip(traces, ends, strict=True)]
    marks: list[list[int]] = []
    for trace, end, mine in zip(traces, ends, found, strict=True):
        counts = [len(f) for t, f in zip(traces, found, strict=True) if t.task == trace.task]
        count = int(np.floor(np.median(counts)))
        marks.append([0, *sorted(step for step, _ in mine[:count]), end])
    return marks


def _candidates(trace: Trace, end: int, rule: KeyframeRule, gap: int) -> list[tuple[int, float]]:
    """(step, clearness) inside (0, end), clearest first, none nearer than ``gap`` to another or to an end."""
    if rule == "none":
        return []
    if rule == "annotated":
        return _annotated(trace, end)
    strength = {"gripper": gripper_changes, "velocity": pauses, "features": picture_changes}[rule](trace)
    chosen: list[tuple[int, float]] = []
    for step in np.argsort(-strength, kind="stable").tolist():
        if strength[step] <= 0:
            break
        if gap <= step <= end - gap and all(abs(step - other) >= gap for other, _ in chosen):
            chosen.append((step, float(strength[step])))
    return chosen


def _annotated(trace: Trace, end: int) -> list[tuple[int, float]]:
    inside = [step for step in trace.keyframes if 0 < step < end]
    if not inside:
        raise UserError(
            f"keyframes=annotated, but a demonstration of {trace.task!r} has no keyframe between steps 0 and {end} "
            "(subtask_end_frames in the dataset's meta/episodes): annotate it (docs/data.md), or use keyframes=gripper"
        )
    return [(step, 1.0) for step in inside]


def gripper_changes(trace: Trace) -> NDArray[np.float64]:
    """(T + 1,) how far the gripper's command moves at each step, as a share of its range; 0 below half of it.

    The gripper is the last action, as in LeRobot's datasets of arms.
    """
    command = trace.action[:, -1].astype(np.float64)
    span = float(np.ptp(command)) if len(command) else 0.0
    change = np.zeros(len(trace) + 1)
    if span > 0:
        change[1:-1] = np.abs(np.diff(command)) / span
    return np.where(change >= 0.5, change, 0.0)


def pauses(trace: Trace) -> NDArray[np.float64]:
    """(T + 1,) how still the arm is at each step: 1 at rest, 0 from a fifth of its median speed on.

    Speed is the size of the action without the gripper, for arms that are commanded by displacements.
    """
    speed = np.linalg.norm(trace.action[:, :-1] if trace.action.shape[1] > 1 else trace.action, axis=1)
    typical = float(np.median(speed)) if len(speed) else 0.0
    still = np.zeros(len(trace) + 1)
    if typical > 0:
        still[:-1] = np.clip(1 - speed / (0.2 * typical), 0, 1)
    return still


def picture_changes(trace: Trace, window: int = 4) -> NDArray[np.float64]:
    """(T + 1,) how much the pictures after a step differ from those before it, beyond the episode's usual.

    Pictures are compared as 8 x 8 grey thumbnails, ``window`` kept frames on either side; steps without a kept frame
    are 0, and so is what lies below the mean by one standard deviation more.
    """
    strength = np.zeros(len(trace) + 1)
    count = len(trace.frame_steps)
    if count <= 2 * window or not trace.frames:
        return strength
    seen = np.concatenate([_thumbnails(frames) for frames in trace.frames.values()], 1)
    for k in range(window, count - window):
        before, after = seen[k - window : k].mean(0), seen[k : k + window].mean(0)
        strength[trace.frame_steps[k]] = float(np.linalg.norm(after - before))
    known = strength[strength > 0]
    return np.clip(strength - known.mean() - known.std(), 0, None) if len(known) else strength


def _thumbnails(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    count, height, width = frames.shape[:3]
    grey = frames.mean(3)
    rows = np.array_split(np.arange(height), min(8, height))
    columns = np.array_split(np.arange(width), min(8, width))
    cells = [grey[:, r[0] : r[-1] + 1, c[0] : c[-1] + 1].mean((1, 2)) for r in rows for c in columns]
    return np.stack(cells, 1).reshape(count, -1) / 255
