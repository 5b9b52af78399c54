"""Starts of episodes, drawn ahead: array operations take little longer for many worlds than for one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Flags
from robo_reward.envs.locomotion.counted_draws import episode_keys, world_keys
from robo_reward.envs.locomotion.task import LocomotionTask


class EpisodeStarts:
    """Begins the episodes of N worlds. ``keys`` (N,): what the random numbers of each world follow from, by ``seed``.

    A world that needs a start when its own is used up has the next ones drawn of all worlds whose starts are.
    """

    def __init__(self, task: LocomotionTask, seed: int) -> None:
        self.seed, self.keys = seed, world_keys(seed, task.sim.num_worlds)
        self._task = task
        self._used: Flags = np.ones(task.sim.num_worlds, np.bool_)

    def begin(self, where: NDArray[np.int64], episode: NDArray[np.int64]) -> None:
        """Begins the next episodes of worlds ``where`` (M,); ``episode`` (N,): how many each world has begun so far."""
        if any(self._used[where].tolist()):
            used = self._used.nonzero()[0]
            self._task.prepare(used, episode_keys(self.keys[used], episode[used]))
            self._used[used] = False
        self._task.begin(where)
        self._used[where] = True
        episode[where] += 1
