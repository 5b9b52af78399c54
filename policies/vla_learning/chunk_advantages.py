"""What every chunk of an episode earned, and how much better than expected that was: GAE over decisions, not steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError

Array = NDArray[np.float64]


def chunk_rewards(rewards: Array, executed: Sequence[int]) -> Array:
    """(D,) sums of an episode's rewards (T,) over the steps that each of its D decisions executed.

    Raises:
        UserError: the decisions do not cover the episode.
    """
    if sum(executed) != len(rewards):
        raise UserError(
            f"{len(executed)} chunks executed {sum(executed)} actions in an episode of {len(rewards)} steps"
        )
    ends = np.cumsum(executed)
    return np.add.reduceat(rewards, ends - np.asarray(executed)) if len(ends) else np.zeros(0)


def gae(rewards: Array, values: Array, gamma: float, decay: float) -> tuple[Array, Array]:
    """Advantages and returns (D,) of an episode whose decisions earned ``rewards`` (D,) and were worth ``values`` (D,).

    Nothing is worth anything after the last decision: an episode's time limit belongs to its task. Generalised
    advantage estimation (Schulman et al. 2016, Eq. 16) with one discount a decision, as RLinf counts it.
    """
    after = np.append(values[1:], 0.0)
    surprise = rewards + gamma * after - values
    advantages = np.zeros(len(rewards))
    carried = 0.0
    for k in range(len(rewards) - 1, -1, -1):
        carried = surprise[k] + gamma * decay * carried
        advantages[k] = carried
    return advantages, advantages + values
