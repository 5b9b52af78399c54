"""EVOLVE-VLA's accumulative milestone estimation: hops from the last milestone, added up by a recursion rule."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError
from robo_reward.reward_models.hops import Rule, accumulate

Critic = Callable[[int, int], float]
"""The signed hop in [-1, 1] from frame i to frame j of one episode."""


def milestone_progress(
    critic: Critic, frames: int, *, interval: int, rule: Rule = "remaining_gap"
) -> NDArray[np.float32]:
    """Progress at each of ``frames`` frames, (frames,) in [0, 1]; frame 0 is 0.

    Every ``interval`` frames the current frame becomes a milestone and its value is kept; between milestones the value
    is provisional: the kept value plus one hop from the last milestone (arXiv 2512.14666 section 3, in the consistent
    reading of its index: the reference of frame t is milestone (t - 1) // interval).

    Raises:
        UserError: for an interval below 1.
    """
    if interval < 1:
        raise UserError(f"milestone interval {interval} must be at least 1 frame")
    values = np.zeros(frames, np.float32)
    kept, reference = 0.0, 0
    for frame in range(1, frames):
        values[frame] = accumulate(kept, critic(reference, frame), rule)
        if frame % interval == 0:
            kept, reference = float(values[frame]), frame
    return values
