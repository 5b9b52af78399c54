"""What an on-policy learner has collected and not yet learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Collected:
    """T steps of N worlds; ``advantage`` (T, N) may be rewritten in place, until the learner learns from it.

    ``returns`` (T, N): what the learner's critic is to learn, in units of reward. ``gamma`` and ``gae_lambda``: its
    discount, and the decay of its generalised advantages.
    """

    advantage: NDArray[np.float32]
    returns: NDArray[np.float32]
    gamma: float
    gae_lambda: float
