"""Which prior acts: each plays a few episodes, and what was learned from pictures decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(slots=True)
class Audition:
    """Episodes of each candidate with their verdicts; no simulator signal is involved.

    ``verdicts``: candidate -> list of (judged success in [0, 1], mean reward) of its episodes.
    """

    candidates: Sequence[str]
    episodes: int
    verdicts: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def next(self) -> str | None:
        """Whose turn it is, None when all have played."""
        for turn in range(self.episodes):
            for name in self.candidates:
                if len(self.verdicts.get(name, [])) <= turn:
                    return name
        return None

    def hear(self, name: str, judged: float, reward: float) -> None:
        """Notes the verdict on one episode."""
        self.verdicts.setdefault(name, []).append((judged, reward))

    def score(self, name: str) -> float:
        """Share of episodes judged a success, plus a tenth of the mean reward to break ties."""
        heard = self.verdicts.get(name, [])
        if not heard:
            return -np.inf
        return float(np.mean([float(j >= 0.5) + 0.1 * r for j, r in heard]))

    def share(self, name: str) -> float:
        """Share of its episodes that the judge called a success; 1 where it heard none or there is no judge."""
        judged = [j for j, _ in self.verdicts.get(name, []) if not np.isnan(j)]
        return float(np.mean([j >= 0.5 for j in judged])) if judged else 1.0

    def winner(self) -> str:
        """The best candidate; the first named among equals."""
        return max(self.candidates, key=self.score)


def chance_better(first: Sequence[bool], second: Sequence[bool], draws: int = 20_000) -> float:
    """The posterior chance that the first success rate is above the second, under uniform priors."""
    rng = np.random.default_rng(0)
    ones = rng.beta(sum(first) + 1, len(first) - sum(first) + 1, draws)
    others = rng.beta(sum(second) + 1, len(second) - sum(second) + 1, draws)
    return float((ones > others).mean())
