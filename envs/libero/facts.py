"""What a LIBERO task file says in so many words: who is on the scene, what must become true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Facts:
    """``goals``: predicates such as ("on", "akita_black_bowl_1", "plate_1") or ("open", "..._middle_region").

    ``kinds``: movable object -> category; ``fixtures``: fixture -> category; ``regions``: region -> what it is part of;
    ``starts``: the predicates of the start; ``of_interest``: the names that the task is about.
    """

    goals: tuple[tuple[str, ...], ...]
    starts: tuple[tuple[str, ...], ...]
    of_interest: tuple[str, ...]
    kinds: Mapping[str, str]
    fixtures: Mapping[str, str]
    regions: Mapping[str, str]

    @property
    def target(self) -> str | None:
        """The first movable object that a goal places somewhere; None where only fixtures move."""
        placed = [goal[1] for goal in self.goals if len(goal) == 3 and goal[1] in self.kinds]
        return placed[0] if placed else None


def read_facts(problem: Mapping[str, Any]) -> Facts:
    """From hf-libero's parsed problem."""
    return Facts(
        goals=tuple(tuple(goal) for goal in problem["goal_state"]),
        starts=tuple(tuple(state) for state in problem["initial_state"]),
        of_interest=tuple(problem["obj_of_interest"]),
        kinds={name: kind for kind, names in problem["objects"].items() for name in names},
        fixtures={name: kind for kind, names in problem["fixtures"].items() for name in names},
        regions={name: str(region["target"]) for name, region in problem["regions"].items()},
    )
