"""What a batched locomotion task tells its world: where episodes begin, what they show, pay and when they end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from robo_reward.contracts import Flags, Floats
from robo_reward.envs.locomotion.batched_sim import Array, BatchedSim, Indices
from robo_reward.envs.locomotion.counted_draws import Keys

EVERYWHERE = slice(None)


@dataclass(frozen=True, slots=True)
class Judged:
    """One step of N worlds: ``reward`` (N,), its part ``task`` (N,) without regularisation, ``terminated`` (N,)."""

    reward: Array
    task: Array
    terminated: Flags


class LocomotionTask(ABC):
    """Works on all worlds at once. ``memory``: whatever it remembers of them, name -> (N, ...)."""

    sim: BatchedSim
    name: str
    instruction: str
    action_space: spaces.Box
    state_names: tuple[str, ...]
    task_reward_bound: float | None = None
    """An upper bound of ``Judged.task`` in any step, for costs that must not be negative; None where there is none."""
    has_success_test = False

    def __init__(self, sim: BatchedSim) -> None:
        self.sim = sim
        self.memory: dict[str, NDArray[Any]] = {}

    @abstractmethod
    def prepare(self, where: Indices, keys: Keys) -> None:
        """Draws how the next episodes of worlds ``where`` (M,) start: those that ``keys`` (M,) name."""

    @abstractmethod
    def begin(self, where: Indices) -> None:
        """Starts the episodes that were prepared for worlds ``where`` (M,)."""

    @abstractmethod
    def control(self, action: Array) -> Array:
        """Actuator inputs, (N, nu) or (N, frame_skip, nu), from actions (N, A) within the bounds."""

    @abstractmethod
    def judge(self, action: Array) -> Judged:
        """What the step that was just made is worth."""

    @abstractmethod
    def observe(self) -> Floats:
        """(N, S) float32 what the worlds show now, as an array of its own."""

    def success(self) -> Flags:
        """(N,) whether the episodes, were they to end now, were successes; asked only with ``has_success_test``."""
        return np.zeros(self.sim.num_worlds, np.bool_)

    def headings(self) -> Array:
        """(N,) radians about the vertical from the world's axes to those that the states are written in."""
        return np.zeros(self.sim.num_worlds)


def squares(rows: NDArray[Any]) -> NDArray[Any]:
    """(N,) sums of the squares of rows (N, D), in one pass."""
    return np.asarray(np.einsum("ij,ij->i", rows, rows))
