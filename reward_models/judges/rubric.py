"""The five levels by which an episode's end is judged, and what is read from the answer.

Source: RoboReward (arXiv 2601.00675): a whole number from 1 to 5 for the final state, given after a fixed keyword.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robo_reward.reward_models.judges.backend import LogProbabilities
from robo_reward.reward_models.judges.one_verdict import find_verdict

KEYWORD = "ANSWER:"
LEVELS = ("1", "2", "3", "4", "5")

RUBRIC = f"""\
You judge how far a robot got with a task. The pictures are from one attempt, in the order of time. Judge only the \
final state, that is, what the last picture shows; the earlier ones tell where things came from.

Task: {{task}}

Levels:
1: nothing that matters for the task has changed
2: a small change towards the task, far from enough
3: good progress, but one major or several requirements are not met
4: almost: the right objects and the right place, one minor requirement is missing
5: every requirement of the task is met

Reply with one line and nothing else, the keyword and the level: {KEYWORD} <1, 2, 3, 4 or 5>"""
AGAIN = f"Your earlier reply could not be read. Reply with exactly one line: {KEYWORD} <1, 2, 3, 4 or 5>"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One judgement: ``progress`` = (expected level - 1) / 4, ``success`` = p(level 5), ``uncertainty`` = std / 4."""

    progress: float
    success: float
    uncertainty: float


WORST = Verdict(0.0, 0.0, 1.0)
"""What the fallback says when nothing was read; an uncertainty of 1 is as unsure as can be."""


def expected_verdict(log_probability: LogProbabilities) -> Verdict | None:
    """From log-probabilities (5,) of the levels, which need not add up to 1; None if all are -inf."""
    best = log_probability.max()
    if not np.isfinite(best):
        return None
    p = np.exp(log_probability - best)
    p /= p.sum()
    places = np.linspace(0, 1, len(LEVELS))
    mean = float(p @ places)
    return Verdict(mean, float(p[-1]), float(np.sqrt(p @ (places - mean) ** 2)))


def written_verdict(answer: str) -> Verdict | None:
    """From the answer's text, where it is one verdict."""
    found = find_verdict(answer, KEYWORD, LEVELS)
    if found is None:
        return None
    places = np.linspace(0, 1, len(LEVELS))
    return Verdict(float(places[found.index]), float(LEVELS[found.index] == LEVELS[-1]), 0.0)
