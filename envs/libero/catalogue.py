"""The 130 tasks of LIBERO's five suites: found by number, by instruction, or all of a suite."""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.libero.installation import package_folder
from robo_reward.envs.libero.stored_array import read_array
from robo_reward.errors import UserError, unknown_name

if TYPE_CHECKING:
    from types import ModuleType

HORIZONS = {
    "libero_spatial": 280,
    "libero_object": 280,
    "libero_goal": 300,
    "libero_10": 520,
    "libero_90": 400,
}
"""Suite -> control steps (20 a second) of an episode, as in LeRobot's and OpenVLA's evaluations."""
SUITES = tuple(HORIZONS)


@dataclass(frozen=True, slots=True)
class LiberoTask:
    """One task: ``number`` within ``suite``, the benchmark's file ``stem``, and the instruction in its file name."""

    suite: str
    number: int
    stem: str
    instruction: str

    @property
    def name(self) -> str:
        """``libero_goal/3``."""
        return f"{self.suite}/{self.number}"

    @property
    def bddl_file(self) -> Path:
        """The task's definition."""
        return package_folder() / "bddl_files" / self.suite / f"{self.stem}.bddl"

    @property
    def states_file(self) -> Path:
        """The shipped initial states."""
        return package_folder() / "init_files" / self.suite / f"{self.stem}.pruned_init"


def tasks_of(suite: str) -> tuple[LiberoTask, ...]:
    """All tasks of a suite in the benchmark's order. UserError for an unknown suite."""
    if suite not in SUITES:
        raise unknown_name("LIBERO suite", str(suite), SUITES)
    return tuple(LiberoTask(suite, i, stem, _instruction(stem)) for i, stem in enumerate(_stems()[suite]))


def find_tasks(suite: str, task: int | str | Sequence[int | str]) -> tuple[LiberoTask, ...]:
    """The tasks that ``task`` names: a number, "all", an instruction (or file stem), or a list of these.

    Raises:
        UserError: unknown suite, a number out of range, or an instruction that is no task of the suite.
    """
    known = tasks_of(suite)
    if isinstance(task, Sequence) and not isinstance(task, str):
        if not task:
            raise UserError(f"env.task=[] names no task; give numbers 0 to {len(known) - 1}, or all")
        return tuple(found for one in task for found in find_tasks(suite, one))
    text = str(task).strip()
    if text == "all":
        return known
    if re.fullmatch(r"[+-]?\d+", text):
        number = int(text)
        if not 0 <= number < len(known):
            raise UserError(f"{suite} has tasks 0 to {len(known) - 1}, got env.task={number}")
        return (known[number],)
    return _by_text(known, text, suite)


def shipped_states(task: LiberoTask) -> NDArray[np.float64]:
    """The benchmark's initial states (n, 1 + nq + nv) float64: time, qpos, qvel. 50 for most tasks."""
    return read_array(task.states_file)


def _by_text(known: Sequence[LiberoTask], text: str, suite: str) -> tuple[LiberoTask, ...]:
    plain = _plain(text)
    exact = [t for t in known if plain in (_plain(t.instruction), _plain(t.stem))]
    if len(exact) > 1:
        numbers = ", ".join(str(t.number) for t in exact)
        raise UserError(f"'{text}' is the instruction of tasks {numbers} of {suite} (other scenes); give the number")
    if not exact:
        raise unknown_name(f"task of {suite}", text, [t.instruction for t in known])
    return (exact[0],)


def _plain(text: str) -> str:
    return " ".join(text.lower().replace("_", " ").split())


def _instruction(stem: str) -> str:
    """libero_10 and libero_90 put the scene before the instruction."""
    return re.sub(r"^[A-Z_]+SCENE\d+_", "", stem).replace("_", " ")


@functools.cache
def _stems() -> dict[str, list[str]]:
    """Read from the package's own table, without importing the package, which would ask for a config first."""
    file = package_folder() / "benchmark" / "libero_suite_task_map.py"
    spec = importlib.util.spec_from_file_location("_libero_suite_task_map", file)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    stems: dict[str, list[str]] = module.libero_task_map
    return stems
