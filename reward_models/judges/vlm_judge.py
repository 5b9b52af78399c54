"""The rubric judge: a vision-language model scores the episode's end, or its prefixes, from 1 to 5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from robo_reward.contracts import Estimate
from robo_reward.errors import UserError, unknown_name
from robo_reward.reward_models.judges.answer_tally import Reading
from robo_reward.reward_models.judges.backend import Backend, Prompt
from robo_reward.reward_models.judges.episode_judge import EpisodeJudge, estimate_of
from robo_reward.reward_models.judges.pictures import show, spread
from robo_reward.reward_models.judges.rubric import (
    AGAIN,
    KEYWORD,
    LEVELS,
    RUBRIC,
    WORST,
    Verdict,
    expected_verdict,
    written_verdict,
)
from robo_reward.trace import Trace

Score = Literal["expected", "text"]
SCORES: tuple[Score, ...] = ("expected", "text")
ANSWER_TOKENS = 64


class VlmJudge(EpisodeJudge):
    """RoboReward's rubric (arXiv 2601.00675) put to any vision-language model.

    ``prefixes``: 1 judges the end only: before it progress and success are 0 with an uncertainty of 1, nobody having
    looked. More judge that many prefixes, evenly spread and the whole episode among them, with progress 0 at the first
    frame and straight lines between. RoboReward was trained on ends; prefixes are out of its distribution.
    ``score``: ``expected`` level under the probabilities of the five score tokens, or the level as written in the
    ``text``. ``max_frames`` pictures per view are shown of each prefix, its first and last among them.

    Raises:
        UserError: for settings out of range.
    """

    name = "vlm_judge"

    def __init__(
        self,
        backend: Backend,
        views: Sequence[str],
        stride: int = 3,
        prefixes: int = 1,
        max_frames: int = 8,
        score: Score = "expected",
        reading: Reading | None = None,
    ) -> None:
        super().__init__(backend, views, stride, max_frames, reading)
        if score not in SCORES:
            raise unknown_name("score", score, SCORES)
        if prefixes < 1:
            raise UserError(f"prefixes={prefixes} must be at least 1: the whole episode")
        self._prefixes, self._score = prefixes, score

    def _judge(self, trace: Trace) -> Estimate:
        last = len(trace.frame_steps) - 1
        ends = [0] if last == 0 else [int(e) for e in spread(last, self._prefixes + 1) if e > 0]
        ends = [last] if self._prefixes == 1 else ends
        verdicts = self._ask([self._question(trace, end) for end in ends])
        if self._prefixes == 1:
            unseen = [Verdict(0.0, 0.0, 1.0)] * last
            return _estimate([*unseen, *verdicts])
        if ends[0] > 0:
            ends, verdicts = [0, *ends], [Verdict(0.0, 0.0, 0.0), *verdicts]
        at, grid = trace.frame_steps[ends], trace.frame_steps
        lines = [np.interp(grid, at, values) for values in _columns(verdicts)]
        return estimate_of(*lines)

    def _question(self, trace: Trace, end: int) -> Prompt:
        frames = spread(end, self._max_frames)
        return (RUBRIC.format(task=trace.task.strip()), *show(trace, self.needs.views, frames.tolist()))

    def _ask(self, questions: list[Prompt]) -> list[Verdict]:
        """A verdict for every question of an episode, in the order of time."""
        read: dict[int, Verdict] = {}
        said: dict[int, str] = {}
        for retry in range(self.answers.reading.retries + 1):
            open_ = [k for k in range(len(questions)) if k not in read]
            asked = [(*questions[k], AGAIN) if retry else questions[k] for k in open_]
            for k, (verdict, text) in zip(open_, self._read(asked), strict=True):
                said[k] = text
                if verdict is None:
                    self.answers.failed(text)
                else:
                    read[k] = verdict
                    self.answers.read()
        return [read[k] if k in read else self._fallback(k, read, said[k]) for k in range(len(questions))]

    def _read(self, questions: list[Prompt]) -> list[tuple[Verdict | None, str]]:
        if self._score == "text":
            answers = self._backend.answer(questions, ANSWER_TOKENS)
            return [(written_verdict(text), text) for text in answers]
        choices = self._backend.choose(questions, f"{KEYWORD} ", LEVELS)
        return [(None if c.log_probability is None else expected_verdict(c.log_probability), c.text) for c in choices]

    def _fallback(self, index: int, read: dict[int, Verdict], text: str) -> Verdict:
        self.answers.fell_back(text)
        earlier = [k for k in read if k < index]
        if self.answers.reading.fallback == "worst" or not earlier:
            return WORST
        return replace(read[max(earlier)], uncertainty=1.0)


def _columns(verdicts: Sequence[Verdict]) -> list[list[float]]:
    return [
        [v.progress for v in verdicts],
        [v.success for v in verdicts],
        [v.uncertainty for v in verdicts],
    ]


def _estimate(verdicts: Sequence[Verdict]) -> Estimate:
    return estimate_of(*_columns(verdicts))
