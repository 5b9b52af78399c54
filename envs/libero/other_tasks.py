"""Which other tasks' instructions a scene answers too: those whose things are in it, and nothing like them beside."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from robo_reward.envs.libero.catalogue import LiberoTask
from robo_reward.envs.libero.facts import Facts, read_facts
from robo_reward.envs.libero.installation import import_libero


@functools.cache
def facts_of(task: LiberoTask) -> Facts:
    """What a task's file says, without building its scene."""
    import_libero()
    from libero.libero.envs.bddl_utils import robosuite_parse_problem  # type: ignore[import-untyped]

    return read_facts(robosuite_parse_problem(str(task.bddl_file)))


def answered(present: LiberoTask, others: Iterable[LiberoTask]) -> list[LiberoTask]:
    """Those of ``others`` whose instruction means one thing, and the same, in the scene of ``present``."""
    here = facts_of(present)
    return [task for task in others if task.instruction != present.instruction and means_the_same(here, facts_of(task))]


def means_the_same(here: Facts, other: Facts) -> bool:
    """Whether all that the other task's goals name is here, and in both scenes the only one of its kind.

    Where there are two bowls, words such as "next to the plate" tell them apart, which hold in their own scene alone.
    """
    named = {name for goal in other.goals for name in goal[1:]}
    return all(_only(here, name) == _only(other, name) is not None for name in named)


def _only(facts: Facts, name: str) -> tuple[str, str] | None:
    """A thing, fixture or region's owner with its kind; None where it is missing or has a twin."""
    kinds = {**facts.fixtures, **facts.kinds}
    thing = facts.regions.get(name, name)
    kind = kinds.get(thing)
    return (thing, kind) if kind is not None and list(kinds.values()).count(kind) == 1 else None
