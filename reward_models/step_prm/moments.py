"""Asks a backend for the three hops that lead to each moment, and averages them over the goals that are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robo_reward.contracts import Floats, Frames
from robo_reward.errors import UserError
from robo_reward.reward_models.looks import alike
from robo_reward.reward_models.step_prm.anchors import GoalAnchors
from robo_reward.reward_models.step_prm.fusion import Hops
from robo_reward.reward_models.step_prm.hop_backend import NOT_GIVEN, HopBatch


@dataclass(frozen=True, slots=True)
class Moments:
    """N moments among K frames: ``now``, ``last`` and ``start`` (N,) index ``frames``; ``task``: N instructions."""

    frames: Mapping[str, Frames]
    now: NDArray[np.int64]
    last: NDArray[np.int64]
    start: NDArray[np.int64]
    task: Sequence[str]


@dataclass(frozen=True, slots=True)
class Judged:
    """``hops`` to N moments, and ``features`` (N, S) of them; S is 0 where the backend has none."""

    hops: Hops
    features: Tensor


@dataclass(frozen=True, slots=True)
class Question:
    """``batch`` holds the pairs of N moments; ``moment`` and ``kind`` (B,) say which moment and which hop.

    Kinds: 0 from the moment before, 1 from the start, 2 from a goal. ``still`` (2, N): where the moment before, and the
    start, look just like the moment: that hop is 0 and is not asked for. ``without_goal``: how many moments have none.
    """

    batch: HopBatch
    moment: NDArray[np.int64]
    kind: NDArray[np.int64]
    still: NDArray[np.bool_]
    without_goal: int

    def hops(self, answers: Floats) -> Hops:
        """The mean over goals of the answers (B,) that could be read; 0 between equal pictures, not asked about.

        NaN from the goal where there is none, and where no answer could be read, which ``unread`` tells apart.
        """
        count = self.still.shape[1]
        table = np.full((3, count), np.nan)
        total, number, asked = np.zeros((3, count)), np.zeros((3, count)), np.zeros((3, count))
        read = ~np.isnan(answers)
        np.add.at(total, (self.kind[read], self.moment[read]), answers[read])
        np.add.at(number, (self.kind[read], self.moment[read]), 1)
        np.add.at(asked, (self.kind, self.moment), 1)
        np.divide(total, number, out=table, where=number > 0)
        table[:2][self.still] = 0.0
        step, start, goal = table.astype(np.float32)
        return Hops(step, start, goal, (asked > 0) & (number == 0))

    def features(self, answers: Tensor) -> Tensor:
        """(N, 2S) from features (B, S): those seen from the start and those seen from the goals, each their mean."""
        count = self.still.shape[1]
        parts = []
        for kind in (1, 2):
            chosen = torch.from_numpy(np.flatnonzero(self.kind == kind))
            moment = torch.from_numpy(self.moment)[chosen]
            total = torch.zeros(count, answers.shape[1]).index_add_(0, moment, answers[chosen])
            number = torch.zeros(count).index_add_(0, moment, torch.ones(len(moment)))
            parts.append(total / number.clamp(min=1).unsqueeze(1))
        return torch.cat(parts, 1)


def ask(moments: Moments, goals: GoalAnchors) -> Question:
    """The pairs that tell progress at N moments; each pair is asked once per goal, as its anchor."""
    frames, places = _with_goals(moments, goals)
    still = np.stack([_equal(moments, moments.last), _equal(moments, moments.start)])
    rows: list[tuple[int, int, int, int, int, int]] = []
    for n, text in enumerate(moments.task):
        now, last, start = int(moments.now[n]), int(moments.last[n]), int(moments.start[n])
        for goal in places.get(text, [NOT_GIVEN]):
            rows += [(before, now, start, goal, n, k) for k, before in enumerate((last, start)) if not still[k, n]]
            if goal != NOT_GIVEN:
                rows.append((goal, now, start, goal, n, 2))
    table = np.asarray(rows, np.int64).reshape(-1, 6).T
    task = [moments.task[int(n)] for n in table[4]]
    batch = HopBatch(frames, table[0], table[1], table[2], table[3], task)
    return Question(batch, table[4], table[5], still, sum(text not in places for text in moments.task))


def _with_goals(moments: Moments, goals: GoalAnchors) -> tuple[dict[str, Frames], dict[str, list[int]]]:
    """The frames with the goals of the moments' instructions behind them, and where those lie."""
    shown = list(moments.frames)
    places: dict[str, list[int]] = {}
    parts = {view: [moments.frames[view]] for view in shown}
    total = len(moments.frames[shown[0]])
    for text in dict.fromkeys(moments.task):
        known = goals.of(text)
        if known is None:
            continue
        _check_sizes(moments, known)
        count = len(next(iter(known.values())))
        places[text] = list(range(total, total + count))
        total += count
        for view in shown:
            # a view that no demonstration of this task had stays black; the front view is always there
            blank = np.zeros((count, *moments.frames[view].shape[1:]), np.uint8)
            parts[view].append(known.get(view, blank))
    return {view: np.concatenate(part) for view, part in parts.items()}, places


def _check_sizes(moments: Moments, goals: Mapping[str, Frames]) -> None:
    for view in moments.frames.keys() & goals.keys():
        (height, width), (h, w) = moments.frames[view].shape[1:3], goals[view].shape[1:3]
        if (height, width) != (h, w):
            raise UserError(
                f"view '{view}' shows pictures of {height}x{width}, the demonstrations that this reward model was "
                f"fitted on {h}x{w}: set env.height and env.width"
            )


def _equal(moments: Moments, other: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N,) whether a moment's pictures equal those of another moment."""
    frames = moments.frames.items()
    return alike({view: f[moments.now] for view, f in frames}, {view: f[other] for view, f in frames})
