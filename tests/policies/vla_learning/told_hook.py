"""A stand-in for an adaptation hook, whose weights count its rounds, and a check that says what its episodes say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any


class Counting:
    """Weights that are one number; what is played in a round is up to who inherits."""

    weight = 0

    def bind(self, policy: Any, rounds: int, seed: int) -> None: ...

    def play(self, ground: Any, episodes: Iterable[tuple[str, bool]]) -> None:
        """Tells episodes (instruction, whether it went well) to who hears, and takes one step."""
        for task, good in episodes:
            for hear in ground.heard:
                hear(SimpleNamespace(task=task, good=good))
        self.weight += 1

    def drift(self) -> float:
        return 0.1 * self.weight

    def state(self) -> dict[str, Any]:
        return {"weight": self.weight}

    def load(self, state: Mapping[str, Any]) -> None:
        self.weight = state["weight"]

    def go_back(self, state: Mapping[str, Any]) -> None:
        self.load(state)


class Told:
    def judge(self, trace: Any) -> float:
        return float(trace.good)
