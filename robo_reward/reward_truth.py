"""What the verdicts say of a reward once they may be read: whether it paid those episodes that succeeded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robo_reward.sealed_log import SealedLog

Earned = Sequence[tuple[int, float]]
"""Of finished episodes the position of their verdict in the sealed log, and the reward that they were given."""


def told_apart(earned: Earned, sealed: SealedLog) -> dict[str, float | int | None]:
    """AUROC of the rewards for success, and the mean reward of successes and failures; None where one kind is missing.

    Episodes of tasks without a test of success count nowhere; {} where no other was paid.

    Raises:
        SealedError: the log is still sealed.
    """
    outcomes = sealed.outcomes()
    known = [(reward, truth) for at, reward in earned if (truth := outcomes[at].success) is not None]
    if not known:
        return {}
    rewards, success = np.asarray([r for r, _ in known], np.float64), np.asarray([t for _, t in known], np.bool_)
    good, bad = rewards[success], rewards[~success]
    return {
        "reward_auroc": auroc(good, bad),
        "reward_of_successes": float(good.mean()) if len(good) else None,
        "reward_of_failures": float(bad.mean()) if len(bad) else None,
        "rewarded_episodes": len(rewards),
        "rewarded_successes": int(success.sum()),
    }


def auroc(good: NDArray[np.float64], bad: NDArray[np.float64]) -> float | None:
    """The share of pairs of a good and a bad one in which the good one has more; ties count half."""
    if not len(good) or not len(bad):
        return None
    return float((good[:, None] > bad).mean() + 0.5 * (good[:, None] == bad).mean())
