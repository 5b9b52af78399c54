"""What a judge asks of a vision-language model: an answer in words, or how likely each of some answers is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Frames

Prompt = tuple[str | Frames, ...]
"""One question: texts and pictures (H, W, 3) uint8 in the order in which the model reads them."""
LogProbabilities = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Choice:
    """How likely each candidate was.

    ``log_probability`` (K,) float64, natural logarithm, <= 0; -inf for a candidate that was less likely than all that
    the server lists. None where the answer is not one of the candidates and only that: it could not be read. ``text``:
    the answer as far as the backend saw it.
    """

    log_probability: LogProbabilities | None
    text: str


@runtime_checkable
class Backend(Protocol):
    """A vision-language model. Several prompts at once, so that a server can work on them side by side.

    Both methods raise UserError where the model or its server cannot be used: a judge never makes up for that.
    """

    def answer(self, prompts: Sequence[Prompt], max_tokens: int) -> list[str]:
        """The most likely answers, at most ``max_tokens`` long; the same prompt gives the same answer."""
        ...

    def choose(self, prompts: Sequence[Prompt], lead: str, candidates: Sequence[str]) -> list[Choice]:
        """Log-probabilities of the candidates as what follows ``lead`` in the answer."""
        ...
