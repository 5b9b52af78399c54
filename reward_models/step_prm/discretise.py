"""A demonstration as steps that each make equal progress, and the exact hop between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError


@dataclass(frozen=True, slots=True)
class Steps:
    """``frame`` (M + 1,) ascending step indices s_0..s_M of an episode, ``progress`` (M + 1,) with s_i worth i / M."""

    frame: NDArray[np.int64]
    progress: NDArray[np.float64]

    def progress_at(self, frames: NDArray[np.int64]) -> NDArray[np.float32]:
        """Progress (F,) in [0, 1] at any step indices: linear in between, 0 before the first and 1 after the last."""
        return np.interp(frames, self.frame, self.progress).astype(np.float32)


def discretise(keyframes: Sequence[int], chunk: int) -> Steps:
    """Steps between the keyframes K_0..K_N (arXiv 2512.23703 section 3.1).

    Every segment is cut into the same number m = round(L / (N C)) of steps, L frames long in all, ``chunk`` C frames a
    step: progress is linear in the index of the step, so every sub-task owns 1 / N of it however long it takes. Steps
    that fall on one frame (a segment shorter than m frames) are merged; the last one counts.

    Raises:
        UserError: for fewer than two keyframes, keyframes that do not ascend, or a chunk below 1.
    """
    marks = np.asarray(keyframes, np.int64)
    if len(marks) < 2 or (np.diff(marks) <= 0).any():
        raise UserError(f"keyframes {list(keyframes)} must be two or more ascending step indices")
    if chunk < 1:
        raise UserError(f"chunk={chunk} must be 1 frame or more")
    segments = len(marks) - 1
    each = max(1, round(int(marks[-1] - marks[0]) / (segments * chunk)))
    place = np.interp(np.arange(segments * each + 1), np.arange(segments + 1) * each, marks)
    frame = np.rint(place).astype(np.int64)
    progress = np.arange(len(frame)) / (len(frame) - 1)
    kept = np.append(np.diff(frame) > 0, True)
    progress = progress[kept]
    progress[0] = 0.0
    return Steps(frame[kept], progress)


def signed_hop(before: NDArray[np.floating[Any]], after: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The hop H(p, q) in [-1, 1] between two progress values, elementwise (arXiv 2512.23703 Eq. 2), exact.

    Forward the share of what was left, (q - p) / (1 - p); backward the share of what was covered, (q - p) / p. Two
    equal values are 0 apart; every other pair has a denominator above 0.
    """
    delta = after - before
    left = np.where(delta > 0, 1 - before, np.where(delta < 0, before, 1.0))
    return np.asarray(delta / left, np.float64)
