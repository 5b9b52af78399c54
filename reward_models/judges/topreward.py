"""TOPReward: how likely a vision-language model finds it that the pictures show the task completed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Estimate
from robo_reward.errors import UserError, unknown_name
from robo_reward.reward_models.judges.answer_tally import Reading
from robo_reward.reward_models.judges.backend import Backend, LogProbabilities, Prompt
from robo_reward.reward_models.judges.episode_judge import EpisodeJudge, estimate_of
from robo_reward.reward_models.judges.pictures import show, spread
from robo_reward.trace import Trace

Scale = Literal["calibrated", "probability", "episode"]
SCALES: tuple[Scale, ...] = ("calibrated", "probability", "episode")
ANSWERS = ("True", "False")
LEAD = "ANSWER: "

QUESTION = """\
The pictures above are from one attempt of a robot, in the order of time. Statement: at the end of these pictures the \
robot has completed this task: {task}

Is the statement true? Reply with one line and nothing else: ANSWER: True or ANSWER: False"""
AGAIN = "Your earlier reply could not be read. Reply with exactly one line: ANSWER: True or ANSWER: False"


class TOPReward(EpisodeJudge):
    """TOPReward (arXiv 2602.19313): log p("True") for growing prefixes of the episode, zero-shot.

    ``prefixes``: lengths asked about, the first frame and the whole episode among them; between them values run
    straight. ``max_frames``: pictures per view of each prefix. ``scale`` turns log p into progress: ``calibrated``
    linearly from ``low`` (0) to ``high`` (1), the same for all episodes; ``probability`` p itself; ``episode`` the
    published curve, min-max within the episode, which makes the best moment of a failure look like success and is for
    curves, not for training. ``success``: p(True) / (p(True) + p(False)).

    Raises:
        UserError: for settings out of range.
    """

    name = "topreward"

    def __init__(
        self,
        backend: Backend,
        views: Sequence[str],
        stride: int = 3,
        prefixes: int = 15,
        max_frames: int = 16,
        scale: Scale = "calibrated",
        low: float = -10.0,
        high: float = 0.0,
        reading: Reading | None = None,
    ) -> None:
        super().__init__(backend, views, stride, max_frames, reading)
        if scale not in SCALES:
            raise unknown_name("scale", scale, SCALES)
        if prefixes < 2:
            raise UserError(f"prefixes={prefixes} must be at least 2: the first frame and the whole episode")
        if not low < high <= 0:
            raise UserError(f"low={low} must be below high={high}, and high at most 0: they are log-probabilities")
        self._prefixes, self._scale, self._low, self._high = prefixes, scale, low, high

    def _judge(self, trace: Trace) -> Estimate:
        ends = spread(len(trace.frame_steps) - 1, self._prefixes)
        log_p, unsure = self._ask([self._question(trace, int(end)) for end in ends])
        success = 1 / (1 + np.exp(np.clip(log_p[:, 1] - log_p[:, 0], -700, 700)))
        at, grid = trace.frame_steps[ends], trace.frame_steps
        return estimate_of(
            np.interp(grid, at, self._progress(log_p[:, 0])),
            np.interp(grid, at, success),
            np.interp(grid, at, unsure),
        )

    def _progress(self, log_true: LogProbabilities) -> NDArray[np.float64]:
        if self._scale == "probability":
            return np.exp(log_true)
        low, high = self._low, self._high
        if self._scale == "episode":
            low, high = float(log_true.min()), float(log_true.max())
            if high - low < 1e-9:  # a constant curve orders nothing
                return np.zeros_like(log_true)
        return np.clip((log_true - low) / (high - low), 0, 1)

    def _question(self, trace: Trace, end: int) -> Prompt:
        pictures = show(trace, self.needs.views, spread(end, self._max_frames).tolist())
        return (*pictures, QUESTION.format(task=trace.task.strip()))

    def _ask(self, questions: list[Prompt]) -> tuple[LogProbabilities, NDArray[np.float64]]:
        """Log-probabilities (P, 2) of True and False, and uncertainties (P,): 1 where the fallback speaks."""
        read: dict[int, LogProbabilities] = {}
        said: dict[int, str] = {}
        for retry in range(self.answers.reading.retries + 1):
            open_ = [k for k in range(len(questions)) if k not in read]
            asked = [(*questions[k], AGAIN) if retry else questions[k] for k in open_]
            for k, choice in zip(open_, self._backend.choose(asked, LEAD, ANSWERS), strict=True):
                said[k] = choice.text
                if choice.log_probability is None:
                    self.answers.failed(choice.text)
                else:
                    read[k] = bounded(choice.log_probability, self._low)
                    self.answers.read()
        rows = [read[k] if k in read else self._fallback(k, read, said[k]) for k in range(len(questions))]
        unsure = [float(k not in read) for k in range(len(questions))]
        return np.stack(rows), np.asarray(unsure)

    def _fallback(self, index: int, read: dict[int, LogProbabilities], text: str) -> LogProbabilities:
        self.answers.fell_back(text)
        earlier = [k for k in read if k < index]
        if self.answers.reading.fallback == "worst" or not earlier:
            return np.asarray([self._low, 0.0])
        return read[max(earlier)]


def bounded(log_probability: LogProbabilities, low: float) -> LogProbabilities:
    """Log-probabilities (2,) with ``low`` for an answer that the server did not list, which is less likely than that.

    Of an unlisted answer only a bound is known: what is left beside the other one, log(1 - p).
    """
    left = np.log1p(-np.exp(np.minimum(log_probability[::-1], -1e-12)))
    return np.where(np.isfinite(log_probability), log_probability, np.minimum(left, low))
