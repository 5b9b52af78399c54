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


def about_starts(world: World, parts: Sequence[Sequence[bool | None]]) -> dict[str, Any]:
    """What a summary notes of evaluations that each began at episode 0: ``starts``, and ``success_by_task``.

    The latter is "<place>: <instruction>" -> success rate. Empty for worlds that do not walk.
    """
    if not isinstance(world, Walks):
        return {}
    count = len(world.tasks)
    rows = {
        f"{place}: {task}": [bool(success) for part in parts for success in part[place::count]]
        for place, task in enumerate(world.tasks)
    }
    by_task = {task: sum(row) / len(row) for task, row in rows.items() if row}
    return {"evaluated_starts": getattr(world, "starts", None), "success_by_task": by_task}
