"""A backend that says what a test wants, and the moving square for it to look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from robo_reward import contract_tests as contract
from robo_reward.reward_models.judges.backend import Choice, Prompt

VIEWS = ("front",)


class Scripted:
    """A backend that says what a function of the prompt says, and keeps the prompts."""

    def __init__(self, say: Callable[[Prompt], Any]) -> None:
        self._say = say
        self.asked: list[Prompt] = []

    def answer(self, prompts: Sequence[Prompt], max_tokens: int) -> list[str]:
        self.asked += prompts
        return [self._say(prompt) for prompt in prompts]

    def choose(self, prompts: Sequence[Prompt], lead: str, candidates: Sequence[str]) -> list[Choice]:
        self.asked += prompts
        said = [self._say(prompt) for prompt in prompts]
        return [Choice(None, "I am a teapot") if p is None else Choice(np.log(np.asarray(p)), "") for p in said]


def pictures(prompt: Prompt) -> list[Any]:
    return [part for part in prompt if not isinstance(part, str)]


def episode(steps: int = 8, source: Any = "demonstration") -> Any:
    return contract.moving_square(3, steps, VIEWS, source=source)


def place(picture: Any) -> float:
    columns = np.flatnonzero((picture[..., 0] > 160).any(0))
    return float(columns[0] / (picture.shape[1] - len(columns)))
