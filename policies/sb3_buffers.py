"""Stable-Baselines3 buffers for rewards that arrive after the steps they belong to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer

from robo_reward.errors import UserError
from robo_reward.trace import Trace

TakePriced = Callable[[], list[tuple[int, Trace]]]
"""The finished episodes since the last call, priced, each with the world it ran in."""


class DeferredRolloutBuffer(RolloutBuffer):
    """Adds the rewards of priced episodes before PPO's advantages are computed.

    What SB3 put into the rewards while it collected, its bootstrap gamma * V(last state) of truncated episodes, stays.
    """

    def __init__(self, *args: Any, take_priced: TakePriced, **kwargs: Any) -> None:
        self._take_priced = take_priced
        super().__init__(*args, **kwargs)

    def compute_returns_and_advantage(self, last_values: torch.Tensor, dones: NDArray[np.bool_]) -> None:
        """Prices the collected episodes, then does what SB3 does.

        Raises:
            UserError: if an episode goes on past the end of what was collected, so that it has no price yet.
        """
        filled = np.zeros(self.n_envs, np.int64)
        for world, trace in self._take_priced():
            assert trace.reward is not None
            self.rewards[filled[world] : filled[world] + len(trace), world] += trace.reward
            filled[world] += len(trace)
        if (filled != self.buffer_size).any():
            raise UserError(
                f"deferred pricing needs whole episodes in every {self.buffer_size} steps that PPO collects, but only "
                f"{int(filled.min())} belong to one that is over: use a task with episodes of fixed length and "
                "learner.n_steps a multiple of it, a reward that prices per step (reward_model=progress) or learner=sac"
            )
        super().compute_returns_and_advantage(last_values, dones)


class DeferredReplayBuffer(ReplayBuffer):
    """Releases transitions for sampling once their episode is priced; until then they wait, world by world.

    Rows of all worlds lie one after another, since their episodes need not end together.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        device: torch.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        *,
        take_priced: TakePriced,
    ) -> None:
        super().__init__(buffer_size, observation_space, action_space, device, 1, optimize_memory_usage)
        self._take_priced = take_priced
        self._waiting: list[list[tuple[Any, ...]]] = [[] for _ in range(n_envs)]

    @property
    def waiting(self) -> int:
        """How many transitions have no price yet."""
        return sum(len(rows) for rows in self._waiting)

    def forget_waiting(self) -> None:
        """Drops the transitions of episodes that will never end, because their worlds were reset."""
        self._waiting = [[] for _ in self._waiting]

    def add(
        self,
        obs: NDArray[Any],
        next_obs: NDArray[Any],
        action: NDArray[Any],
        reward: NDArray[Any],
        done: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        """Takes a step of every world, and releases the episodes that were priced since the last one."""
        for world, rows in enumerate(self._waiting):
            rows.append((obs[world], next_obs[world], action[world], done[world], infos[world]))
        for world, trace in self._take_priced():
            self._release(world, trace)

    def _release(self, world: int, trace: Trace) -> None:
        assert trace.reward is not None
        rows, self._waiting[world] = self._waiting[world], []
        for (before, after, action, done, info), reward in zip(rows, trace.reward, strict=True):
            super().add(before[None], after[None], action[None], np.asarray([reward]), np.asarray([done]), [info])
