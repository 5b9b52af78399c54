"""Generative value learning: the model sees an episode's frames in random order and says how far each one is."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Estimate, Frames
from robo_reward.errors import UserError
from robo_reward.reward_models.audit.metrics import value_order_correlation
from robo_reward.reward_models.judges.answer_tally import Reading
from robo_reward.reward_models.judges.backend import Backend, Prompt
from robo_reward.reward_models.judges.episode_judge import EpisodeJudge, estimate_of
from robo_reward.reward_models.judges.pictures import show, spread
from robo_reward.seeding import derive_rng
from robo_reward.trace import Trace

Values = NDArray[np.float64]
TOKENS_PER_FRAME = 48
PERCENTAGE = r"\d+(?:\.\d+)?\s*%"
DONE = re.compile(rf"\bdone\b[^\w%.\-]*(?={PERCENTAGE})", re.IGNORECASE)
TO = r"(?:-|\u2013|to|or|and)"

OPENING = """\
A robot works on this task: {task}

First the start of an attempt, where 0% of the task is done:"""
MIDDLE = """\
Now {count} further pictures from the same attempt, in random order, numbered as they are shown. Judge each by what it \
shows, not by its number: neighbours need not be near in time, and an attempt may fail or go back."""
CLOSING = """\
For each of the {count} pictures write one line: its number, in a few words what it shows, and which percentage of the \
task is done in it, exactly in this form:
Frame <number>: <what it shows>. Done: <percentage>%"""


class GVL(EpisodeJudge):
    """GVL (arXiv 2411.04549): percentages for shuffled frames in one answer, put back into order.

    The first frame is given with 0%. In order, models answer rising values whatever they see; the shuffle takes that
    away. ``max_frames``: frames at most, first and last included; between them progress runs straight. ``shuffles``:
    how many orders are asked for and averaged; their standard deviation is the uncertainty (0 for one). A frame counts
    as success (1, else 0) from ``success_at`` on, in episodes whose values follow time with a rank correlation (VOC)
    of at least ``success_voc``. The order is drawn from ``seed`` and the pictures: the same episode has the same one.

    Raises:
        UserError: for settings out of range.
    """

    name = "gvl"

    def __init__(
        self,
        backend: Backend,
        views: Sequence[str],
        stride: int = 3,
        max_frames: int = 16,
        shuffles: int = 1,
        success_at: float = 0.9,
        success_voc: float = 0.5,
        seed: int = 0,
        reading: Reading | None = None,
    ) -> None:
        super().__init__(backend, views, stride, max_frames, reading)
        if max_frames < 2 or shuffles < 1:
            raise UserError(f"max_frames={max_frames} must be at least 2 and shuffles={shuffles} at least 1")
        if not 0 < success_at <= 1 or not -1 <= success_voc <= 1:
            raise UserError(f"success_at={success_at} must be in (0, 1] and success_voc={success_voc} in [-1, 1]")
        self._shuffles, self._seed, self.spread_of = shuffles, seed, shuffles
        self._success_at, self._success_voc = success_at, success_voc

    def _judge(self, trace: Trace) -> Estimate:
        count = len(trace.frame_steps)
        if count == 1:  # its only frame is the start, which is 0% by definition
            return estimate_of([0.0], [0.0], [1.0])
        shown = spread(count - 1, self._max_frames)
        values = self._values(trace, shown)
        if not values:
            return estimate_of(np.zeros(count), np.zeros(count), np.ones(count))
        mean, spread_of = np.mean(values, 0), np.std(values, 0)
        at, grid = trace.frame_steps[shown], trace.frame_steps
        progress = np.interp(grid, at, mean)
        ordered = value_order_correlation(mean) >= self._success_voc
        success = (progress >= self._success_at) & ordered
        return estimate_of(progress, success, np.interp(grid, at, spread_of))

    def _values(self, trace: Trace, shown: NDArray[np.int64]) -> list[Values]:
        """Per readable order the values at ``shown``, the first of them 0; empty after the fallback."""
        key = _fingerprint(trace.frames[view] for view in self.needs.views)
        read: list[Values] = []
        asked, text = 0, ""
        for _ in range(self.answers.reading.retries + 1):
            missing = range(asked, asked + self._shuffles - len(read))
            if not missing:
                break
            # a retry asks in another order: the same question would get the same answer
            orders = [derive_rng(self._seed, key, k).permutation(shown[1:]) for k in missing]
            asked += len(missing)
            texts = self._backend.answer([self._question(trace, o) for o in orders], TOKENS_PER_FRAME * len(shown))
            for order, text in zip(orders, texts, strict=True):
                percentages = read_percentages(text, len(order))
                if percentages is None:
                    self.answers.failed(text)
                else:
                    read.append(np.concatenate([[0.0], percentages[np.argsort(order)]]))
        if read:
            self.answers.read()
        else:
            self.answers.fell_back(text)
        return read

    def _question(self, trace: Trace, order: NDArray[np.int64]) -> Prompt:
        return (
            OPENING.format(task=trace.task.strip()),
            *show(trace, self.needs.views, [0], "Start"),
            MIDDLE.format(count=len(order)),
            *show(trace, self.needs.views, order.tolist()),
            CLOSING.format(count=len(order)),
        )


def read_percentages(answer: str, count: int) -> Values | None:
    """Shares (count,) in [0, 1] of frames 1..count; None unless each of them has exactly one percentage up to 100.

    Of a frame's first paragraph with one, or with "Done: 10%", that behind the last "done" counts, or the last where
    none follows it: descriptions and closing remarks may hold others. "10 to 20%" is no percentage.
    """
    found: dict[int, float] = {}
    for part in re.split(r"(?=\bFrame\s*\d+)", answer, flags=re.IGNORECASE):
        number = re.match(r"Frame\s*(\d+)", part, re.IGNORECASE)
        told = [paragraph for paragraph in re.split(r"\n\s*\n", part) if re.search(PERCENTAGE, paragraph)]
        if number is None or not told:
            continue
        value = _stated(next((paragraph for paragraph in told if DONE.search(paragraph)), told[0]))
        if value is None or int(number[1]) in found:
            return None
        found[int(number[1])] = value / 100
    if set(found) != set(range(1, count + 1)) or max(found.values()) > 1:
        return None
    return np.asarray([found[k] for k in range(1, count + 1)])


def _stated(told: str) -> float | None:
    """The percentage that a frame's text with one or more states; None where it is a range, a choice or below 0."""
    done = list(DONE.finditer(told))
    all_found = list(re.finditer(PERCENTAGE, told))
    found = next(f for f in all_found if f.start() == done[-1].end()) if done else all_found[-1]
    before, after = told[: found.start()], told[found.end() :]
    several = re.search(rf"\d\s*%?\s*{TO}\s*$|[\w.\-]$", before) or re.match(rf"\s*{TO}\s*\d", after)
    return None if several else float(found[0].rstrip("% \t\n"))


def _fingerprint(views: Iterable[Frames]) -> int:
    code = 0
    for frames in views:
        code = zlib.crc32(np.ascontiguousarray(frames), code)
    return code
