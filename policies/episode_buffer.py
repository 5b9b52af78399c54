"""A replay buffer that remembers which episode each transition belongs to, so that rewards can be repriced."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from robo_reward.errors import UserError
from robo_reward.policies.soft_actor_critic import Batch


class EpisodeBuffer:
    """Whole episodes as flat tensors, only priced ones: a transition is sampled with a reward or not at all."""

    def __init__(self, capacity: int, states: int, actions: int) -> None:
        self._state = torch.zeros(capacity, states)
        self._after = torch.zeros(capacity, states)
        self._action = torch.zeros(capacity, actions)
        self._reward = torch.zeros(capacity)
        self._terminal = torch.zeros(capacity)
        self._slices: list[slice] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def episodes(self) -> int:
        """How many episodes are stored."""
        return len(self._slices)

    def add(
        self,
        state: NDArray[np.float32],
        action: NDArray[np.float32],
        reward: NDArray[np.float32],
        terminated: bool,
    ) -> None:
        """Stores an episode: ``state`` (T+1, S), ``action`` (T, A) as the learner defines it, ``reward`` (T,)."""
        steps = len(action)
        if self._size + steps > len(self._reward):
            raise UserError(
                f"the replay buffer holds {len(self._reward)} transitions and {self._size + steps} are needed: "
                "raise learner.capacity or lower rollouts"
            )
        where = slice(self._size, self._size + steps)
        self._state[where] = torch.from_numpy(state[:-1])
        self._after[where] = torch.from_numpy(state[1:])
        self._action[where] = torch.from_numpy(action)
        self._reward[where] = torch.from_numpy(reward)
        self._terminal[self._size + steps - 1] = float(terminated)
        self._slices.append(where)
        self._size += steps

    def reprice(self, episode: int, reward: NDArray[np.float32]) -> None:
        """Replaces the rewards of the ``episode``-th stored episode; steps that are not stored are left out."""
        where = self._slices[episode]
        self._reward[where] = torch.from_numpy(reward[: where.stop - where.start])

    def sample(self, count: int) -> Batch:
        """``count`` transitions drawn uniformly with torch's generator."""
        index = torch.randint(0, self._size, (count,))
        return Batch(
            self._state[index],
            self._action[index],
            self._reward[index],
            self._after[index],
            self._terminal[index],
        )


def add_episode(
    buffer: EpisodeBuffer,
    features: NDArray[np.float32],
    action: NDArray[np.float32],
    reward: NDArray[np.float32],
    ended: bool,
) -> None:
    """Stores an episode of which ``features`` (T, S) are known where it acted, not at its last state.

    Where it ``ended`` nothing comes after: its last step is kept, and what that leads to is never looked at. Where time
    was up the last step, whose value could not be bootstrapped, is left out.
    """
    if ended:
        features = np.concatenate([features, features[-1:]])
    steps = len(features) - 1
    buffer.add(features, action[:steps], reward[:steps], ended)


def mix(first: Batch, second: Batch) -> Batch:
    """Both batches, one after the other."""
    return Batch(
        torch.cat([first.state, second.state]),
        torch.cat([first.action, second.action]),
        torch.cat([first.reward, second.reward]),
        torch.cat([first.after, second.after]),
        torch.cat([first.terminal, second.terminal]),
    )
