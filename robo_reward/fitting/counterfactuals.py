"""Counterfactual instructions: the video stays, the goal changes, so what was a success is a failure (RoboReward)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from robo_reward.errors import UserError
from robo_reward.fitting.episodes import Episode
from robo_reward.wording import words

Propose = Callable[[str, Sequence[str]], Sequence[str]]
"""(the video's instruction, all instructions) -> instructions that the video does not fulfil."""
OPPOSITES = (
    ("open", "close"),
    ("left", "right"),
    ("push", "pull"),
    ("up", "down"),
    ("in", "out"),
    ("into", "out of"),
    ("on", "off"),
    ("pick", "place"),
    ("top", "bottom"),
    ("front", "back"),
    ("first", "last"),
    ("red", "green"),
    ("blue", "yellow"),
    ("black", "white"),
)
VERBS = ("move", "grasp", "rotate", "push", "pull", "slide", "lift", "place")
NOUNS = ("cup", "lamp", "towel", "bottle", "drawer", "spoon", "book", "chair", "apple", "box", "sponge", "phone")


def proposals(task: str, tasks: Sequence[str]) -> list[str]:
    """Instructions that a video of ``task`` does not fulfil, from the dataset's own words; without repetition.

    First the other tasks (mismatch, ReWiND); then one word turned into its opposite; then another task's verb with
    this task's object and the reverse. None equals ``task`` in case, punctuation or order of words.
    """
    own = words(task)
    found = [other for other in tasks if other.strip()]
    found += [" ".join(turned) for turned in _opposites(own)]
    for other in tasks:
        verb, rest = words(other)[:1], words(other)[1:]
        if own and rest and verb != own[:1] and rest != own[1:]:
            found += [" ".join([*verb, *own[1:]]), " ".join([*own[:1], *rest])]
    return different(task, found)


def different(task: str, found: Sequence[str]) -> list[str]:
    """Those of ``found`` that say something, something else than ``task``, each once."""
    kept: dict[tuple[str, ...], str] = {}
    for text in found:
        key = tuple(sorted(words(text)))
        if key and key != tuple(sorted(words(task))):
            kept.setdefault(key, text.strip())
    return list(kept.values())


def perturbed(task: str, rng: np.random.Generator) -> str:
    """A random instruction that has nothing to do with ``task``: SARM's language perturbation."""
    while True:
        drawn = " ".join([str(rng.choice(VERBS)), "the", str(rng.choice(NOUNS))])
        if not set(words(drawn)) - {"the"} & set(words(task)):
            return drawn


def counterfactuals(
    demonstrations: Sequence[Episode], count: int, rng: np.random.Generator, propose: Propose = proposals
) -> list[Episode]:
    """``count`` demonstrations under instructions that they do not fulfil: progress 0, success 0 throughout.

    Raises:
        UserError: ``propose`` found no such instruction for a task.
    """
    tasks = sorted({episode.trace.task for episode in demonstrations})
    found = {task: different(task, list(propose(task, tasks))) for task in tasks} if count else {}
    for task, listed in found.items():
        if not listed:
            raise UserError(
                f"no counterfactual instruction was found for {task!r} (tasks: {tasks}): give datasets of several "
                "tasks, name negatives.proposals, or set negatives.counterfactual=0"
            )
    return [_under(e, str(rng.choice(found[e.trace.task])), "counterfactual") for e in _cycle(demonstrations, count)]


def perturbations(demonstrations: Sequence[Episode], count: int, rng: np.random.Generator) -> list[Episode]:
    """``count`` demonstrations under random instructions."""
    return [_under(e, perturbed(e.trace.task, rng), "perturbed") for e in _cycle(demonstrations, count)]


def _opposites(own: Sequence[str]) -> list[list[str]]:
    turn = {a: b for pair in OPPOSITES for a, b in (pair, pair[::-1])}
    return [[*own[:k], turn[word], *own[k + 1 :]] for k, word in enumerate(own) if word in turn]


def _cycle(demonstrations: Sequence[Episode], count: int) -> list[Episode]:
    return [demonstrations[k % len(demonstrations)] for k in range(count if demonstrations else 0)]


def _under(episode: Episode, task: str, kind: str) -> Episode:
    trace = replace(episode.trace, task=task, source="counterfactual", success=None, estimate=None, reward=None)
    return Episode(trace, f"{episode.origin}, {kind}", episode.number, episode.video)
