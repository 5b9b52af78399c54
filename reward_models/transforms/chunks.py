"""Rewards of single steps as rewards of action chunks, whose last one an episode's end may cut short."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError


def chunk_rewards(
    reward: NDArray[np.floating], gamma: float, chunk: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rewards and discounts (K,) of the K = ceil(T / chunk) chunks of an episode's rewards (T,).

    Chunk k earns sum_j gamma^j r_(k*chunk+j), and what follows it is discounted by gamma^n, n being the steps that it
    really took: the last chunk may be shorter. Then the discounted sum over chunks is that over steps, and potential
    shaping still telescopes: a chunk earns gamma^n Phi(its end) - Phi(its start).

    Raises:
        UserError: for a discount outside (0, 1] or a chunk below 1.
    """
    if not 0 < gamma <= 1 or chunk < 1:
        raise UserError(f"chunk_rewards needs 0 < gamma <= 1 and chunk >= 1, got gamma={gamma} and chunk={chunk}")
    starts = range(0, len(reward), chunk)
    parts = [np.asarray(reward[start : start + chunk], np.float64) for start in starts]
    earned = [float((gamma ** np.arange(len(part)) * part).sum()) for part in parts]
    return np.asarray(earned, np.float64), np.asarray([gamma ** len(part) for part in parts], np.float64)
