"""One episode of an arm as learning needs it: what was seen, what was asked for, and what of it a person did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.runs.checkpoint import load_state, save_state
from robo_reward.trace import Trace

Kind = Literal["demonstration", "practice", "evaluation"]
UNPRICED = ("estimate", "reward")
DEMONSTRATIONS, PRACTICE = "demonstrations", "practice"
"""Folders of the run."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class ArmEpisode:
    """``trace``: actions are the goals that the guard sent; ``success`` only where a person said so.

    ``asked`` (T, J) float32: the joint goals asked of the guard, by policy or person; ``by_hand`` (T,) bool: by a
    person.
    """

    trace: Trace
    asked: NDArray[np.float32]
    by_hand: NDArray[np.bool_]
    kind: Kind = "practice"

    def __post_init__(self) -> None:
        if not len(self.asked) == len(self.by_hand) == len(self.trace):
            raise ValueError(f"{len(self.trace)} steps need as many goals and flags, got {len(self.asked)}")

    @property
    def interventions(self) -> int:
        """How often a person took over."""
        return sum(1 for _ in self.led())

    def led(self) -> Iterator[slice]:
        """The stretches of steps that a person led."""
        edges = np.diff(np.concatenate([[0], self.by_hand.astype(np.int8), [0]]))
        for first, stop in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
            yield slice(int(first), int(stop))


def write_episode(path: Path, episode: ArmEpisode) -> None:
    """Writes it whole or not at all, without its prices; ``path`` gives folder and stem."""
    held = {part.name: getattr(episode.trace, part.name) for part in fields(Trace) if part.name not in UNPRICED}
    held["frames"] = {view: np.ascontiguousarray(frames) for view, frames in episode.trace.frames.items()}
    held["meta"] = dict(episode.trace.meta)
    state = {"trace": held, "asked": episode.asked, "by_hand": episode.by_hand, "kind": episode.kind}
    save_state(path.parent, path.name, state)


def read_episode(path: Path) -> ArmEpisode:
    """Reads what ``write_episode`` wrote. UserError where it is missing or damaged."""
    state = load_state(path.parent, path.name)
    return ArmEpisode(Trace(**state["trace"]), state["asked"], state["by_hand"], state["kind"])


def episode_path(run: Path, folder: str, number: int) -> Path:
    """Where an episode of a run lies, without endings."""
    return run / folder / f"{number:06d}"


def stored(run: Path, folder: str) -> list[Path]:
    """The whole episodes of a run, in order."""
    return [path.with_suffix("") for path in sorted((run / folder).glob("*.json"))]
