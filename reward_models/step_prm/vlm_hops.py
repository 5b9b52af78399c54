"""The hop backend that asks a vision-language checkpoint, such as Robo-Dopamine's GRM-3B and GRM-8B."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from robo_reward.contracts import Floats, Frames
from robo_reward.errors import UserError
from robo_reward.reward_models.judges.answer_tally import AnswerTally, Reading
from robo_reward.reward_models.judges.backend import Prompt
from robo_reward.reward_models.step_prm.grm_prompt import AGAIN, ANSWER_TOKENS, build_prompt, parse_hop
from robo_reward.reward_models.step_prm.hop_backend import NOT_GIVEN, HopBatch


class Answers(Protocol):
    """Whatever answers prompts of texts and pictures with texts; every judge's backend does."""

    def answer(self, prompts: Sequence[Prompt], max_tokens: int) -> list[str]:
        """One answer per prompt, at most ``max_tokens`` long."""
        ...


class VlmHops:
    """Hops as ``model`` says them, in the release's picture order and answer format.

    An answer that cannot be read is asked for again, ``reading.retries`` times; then the hop is NaN with
    ``fallback=previous`` (``Fusion`` leaves it out and lets progress rise no further), -1 with ``worst``, or an error
    with ``raise``. The release takes 0, which from the goal means that all is done, and says nothing; here
    ``parse_failures`` and ``fallbacks`` count, and a run ends in which more than ``reading.max_fallback_share`` of the
    hops are of that kind.
    """

    def __init__(self, model: Answers, reading: Reading | None = None) -> None:
        self._model = model
        self.answers = AnswerTally(reading or Reading())

    @property
    def parse_failures(self) -> int:
        """Answers that could not be read."""
        return self.answers.parse_failures

    @property
    def fallbacks(self) -> int:
        """Hops for which no answer could be read."""
        return self.answers.fallbacks

    def hops(self, batch: HopBatch) -> Floats:
        """The hop (B,) float32 in [-1, 1], NaN where it could not be read; equal questions are asked once.

        Raises:
            UserError: a model that fails, too many unreadable answers, or an empty instruction.
        """
        keys = list(zip(batch.before, batch.after, batch.start, batch.goal, batch.task, strict=True))
        asked = {key: k for k, key in enumerate(keys)}
        read = self._ask({key: _question(batch, k) for key, k in asked.items()})
        return np.asarray([read[key] for key in keys], np.float32)

    def _ask(self, questions: dict[tuple[object, ...], Prompt]) -> dict[tuple[object, ...], float]:
        read: dict[tuple[object, ...], float] = {}
        said: dict[tuple[object, ...], str] = {}
        for retry in range(self.answers.reading.retries + 1):
            left = [key for key in questions if key not in read]
            prompts = [(*questions[key], AGAIN) if retry else questions[key] for key in left]
            for key, text in zip(left, self._model.answer(prompts, ANSWER_TOKENS) if left else [], strict=True):
                hop, said[key] = parse_hop(text), text
                if hop is None:
                    self.answers.failed(text)
                else:
                    read[key] = hop
                    self.answers.read()
        for key in questions:
            if key not in read:
                self.answers.fell_back(said[key])
                read[key] = -1.0 if self.answers.reading.fallback == "worst" else math.nan
        return read


def _question(batch: HopBatch, k: int) -> Prompt:
    if not batch.frames:
        raise UserError("moments without a picture cannot be judged: set env.views")
    front = next(iter(batch.frames.values()))
    start = front[batch.start[k] if batch.start[k] != NOT_GIVEN else batch.before[k]]
    goal: Frames | None = None if batch.goal[k] == NOT_GIVEN else front[batch.goal[k]]
    before, after = (
        {view: frames[index[k]] for view, frames in batch.frames.items()} for index in (batch.before, batch.after)
    )
    return build_prompt(batch.task[k], start, goal, before, after)
