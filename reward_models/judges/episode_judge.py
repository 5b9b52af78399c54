"""What all judges of whole episodes have in common: what they look at, what they count, what they remember."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import ArrayLike

from robo_reward.contracts import Estimate, Flags, Floats, Needs, Observation, Transition
from robo_reward.errors import UserError
from robo_reward.reward_models.hops import hop_label
from robo_reward.reward_models.judges.answer_tally import AnswerTally, Reading
from robo_reward.reward_models.judges.backend import Backend
from robo_reward.reward_models.judges.pictures import check_episode
from robo_reward.trace import Trace


class EpisodeJudge:
    """Prices whole episodes by asking ``backend``; an episode is asked about once while it lives.

    ``views``: camera names; ``stride``: steps between kept frames; ``max_frames``: pictures per view in one question.
    ``parse_failures`` and ``fallbacks`` end up in ``summary.json``.

    Raises:
        UserError: without views, or for numbers below 1.
    """

    name = "judge"
    gives_match = False

    def __init__(
        self, backend: Backend, views: Sequence[str], stride: int, max_frames: int, reading: Reading | None
    ) -> None:
        if not views:
            raise UserError(f"reward_model={self.name} judges pictures: name views with env.views=[...]")
        if stride < 1 or max_frames < 1:
            raise UserError(f"stride={stride} and max_frames={max_frames} must be at least 1")
        self.needs = Needs(views=tuple(views), stride=stride, episode=True)
        self.answers = AnswerTally(reading or Reading())
        self._backend, self._max_frames = backend, max_frames
        self._judged: WeakKeyDictionary[Trace, Estimate] = WeakKeyDictionary()

    @property
    def parse_failures(self) -> int:
        """Answers that could not be read."""
        return self.answers.parse_failures

    @property
    def fallbacks(self) -> int:
        """Judgements for which no answer could be read."""
        return self.answers.fallbacks

    def estimate_episode(self, trace: Trace) -> Estimate:
        """Estimates (F,) at the kept frames.

        Raises:
            UserError: an episode that cannot be judged, a backend that fails, or too many unreadable answers.
        """
        if trace not in self._judged:
            check_episode(trace, self.needs.views)
            self._judged[trace] = self._judge(trace)
        return self._judged[trace]

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """Refused: a judge sees the whole episode."""
        raise UserError(f"reward_model={self.name} prices whole episodes; price it deferred (learner.pricing=auto)")

    def estimate(self, transition: Transition) -> Estimate:
        """Refused, as ``begin``."""
        raise UserError(f"reward_model={self.name} prices whole episodes; price it deferred (learner.pricing=auto)")

    def _judge(self, trace: Trace) -> Estimate:
        raise TypeError(f"{type(self).__name__} does not say how it judges")


def estimate_of(progress: ArrayLike, success: ArrayLike, uncertainty: ArrayLike) -> Estimate:
    """An Estimate (F,) with the hops between its frames as gains."""
    p = np.clip(np.asarray(progress, np.float32), 0, 1)
    before: Floats = np.concatenate([p[:1], p[:-1]])
    gain = hop_label(torch.from_numpy(before), torch.from_numpy(p)).numpy()
    return Estimate(
        p,
        gain,
        np.clip(np.asarray(success, np.float32), 0, 1),
        np.asarray(uncertainty, np.float32),
    )
