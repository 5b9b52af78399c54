"""Worlds whose episodes go through several tasks, or through stored starts, by their number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from robo_reward.contracts import World


@runtime_checkable
class Walks(Protocol):
    """A world in which an episode's number, beside the seed, says which task it is and which stored start."""

    tasks: tuple[str, ...]
    """The instructions in the order in which episodes walk through them: episode n is of task n modulo their number."""

    def begin_at(self, number: int) -> None:
        """The next ``reset`` begins episode ``number`` in the first world and the following ones in the others.

        It holds for that reset only; without it a reset begins episode 0.
        """
        ...


def begin_at(world: World, number: int) -> None:
    """Tells a world that walks which episode its next ``reset`` begins; other worlds need not know."""
    if isinstance(world, Walks):
        world.begin_at(number)


def number_of_tasks(world: World) -> int:
    """How many tasks the world's episodes walk through."""
    return len(world.tasks) if isinstance(world, Walks) else 1


def repeated_starts(world: World, episodes: int) -> int:
    """Of episodes 0 to ``episodes`` - 1, how many begin in a stored start that an earlier one began in.

    A world whose starts are stored has ``stored_starts``, of each task how many; others draw each anew: 0.
    """
    stored: Sequence[int] = getattr(world, "stored_starts", ())
    return sum(max(0, len(range(k, episodes, len(stored))) - count) for k, count in enumerate(stored))


def about_starts(world: World, parts: Sequence[Sequence[bool | None]]) -> dict[str, Any]:
    """What a summary notes of evaluations of which each began at the episode after the last one's.

    ``evaluated_starts``: of what kind they are; ``evaluated_from``: the number of each evaluation's first episode;
    ``repeated_starts``; ``success_by_task``: "<place>: <instruction>" -> success rate. Empty for worlds that do not
    walk.
    """
    if not isinstance(world, Walks):
        return {}
    count, whole = len(world.tasks), [bool(success) for part in parts for success in part]
    rows = {f"{place}: {task}": whole[place::count] for place, task in enumerate(world.tasks)}
    return {
        "evaluated_starts": getattr(world, "starts", None),
        "evaluated_from": [sum(len(part) for part in parts[:k]) for k in range(len(parts))],
        "repeated_starts": repeated_starts(world, len(whole)),
        "success_by_task": {task: sum(row) / len(row) for task, row in rows.items() if row},
    }
