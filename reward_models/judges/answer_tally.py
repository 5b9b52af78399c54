"""Counts answers that could not be read, and stops a run that would go on without a judge."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

from robo_reward.errors import UserError, unknown_name
from robo_reward.reward_models.judges.chat_reply import excerpt

Fallback = Literal["previous", "worst", "raise"]
FALLBACKS: tuple[Fallback, ...] = ("previous", "worst", "raise")
SETTLED = 10
"""Judgements from which on a share means something; before, as if there had been this many."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What to do with answers that cannot be read.

    ``retries``: further questions, worded anew. ``fallback``, when all failed: ``previous`` the last readable judgement
    in the same episode (worst without one), ``worst`` the lowest, ``raise`` an error. ``max_fallback_share``: above
    it the run ends.
    """

    retries: int = 2
    fallback: Fallback = "previous"
    max_fallback_share: float = 0.2

    def __post_init__(self) -> None:
        if self.fallback not in FALLBACKS:
            raise unknown_name("fallback of a judge", self.fallback, FALLBACKS)
        if self.retries < 0 or not 0 <= self.max_fallback_share <= 1:
            raise UserError(
                f"retries={self.retries} must be 0 or more and max_fallback_share={self.max_fallback_share} in [0, 1]"
            )


class AnswerTally:
    """``parse_failures``: answers that could not be read. ``fallbacks``: judgements that no answer was read for."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.parse_failures = self.fallbacks = self.judged = 0

    def failed(self, answer: str) -> None:
        """Counts an answer that could not be read; the first is shown on stderr."""
        self.parse_failures += 1
        if self.parse_failures == 1:
            print(f"the judge's answer {excerpt(answer)} could not be read; such answers are counted", file=sys.stderr)

    def read(self) -> None:
        """Counts a judgement."""
        self.judged += 1

    def fell_back(self, answer: str) -> None:
        """Counts a judgement that is replaced by the fallback.

        Raises:
            UserError: where none was ever read, with ``fallback=raise``, or above the share that is allowed.
        """
        self.judged += 1
        self.fallbacks += 1
        share = self.reading.max_fallback_share
        tries = f"after {self.reading.retries + 1} question(s); the last answer was {excerpt(answer)}"
        if self.fallbacks == self.judged:
            raise UserError(
                f"the judge has given no answer that can be read, {tries}: use a model that follows formats"
            )
        if self.reading.fallback == "raise":
            raise UserError(f"a judgement could not be read {tries}. reading.fallback=previous goes on and counts it")
        if self.fallbacks > share * max(self.judged, SETTLED):
            raise UserError(
                f"{self.fallbacks} of {self.judged} judgements could not be read, more than "
                f"reading.max_fallback_share={share:g} allows; the last answer was {excerpt(answer)}. Use a model that "
                "follows formats, or raise the share"
            )
