"""How a disturber turns the policy's advantages: towards the constraint where it pushes, and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Advantage = NDArray[np.float32]
Worlds = NDArray[np.bool_]


def apart(advantage: Advantage, calm: NDArray[np.float64], pushed: Worlds) -> None:
    """Rewrites the policy's advantages (T, N) in place: pushed and unpushed worlds each by their own mean and spread.

    ``calm`` (T, U) are those of the U worlds that nobody pushes, from a critic of their own. Under one spread for all,
    the falls of the pushed would leave next to nothing of how well the others walk.
    """
    advantage[:, ~pushed] = calm
    for kind in (pushed, ~pushed):
        advantage[:, kind] = standardised(advantage[:, kind])


def towards(advantage: Advantage, cost: NDArray[np.float64], weight: float, pushed: Worlds) -> None:
    """Rewrites those of the P worlds that are ``pushed`` (N,) in place: reward and cost as 1 to ``weight``.

    Each by its own mean and spread. ``cost`` (T, P): advantages of the cost. Their mean is taken off, too: what pushed
    worlds have in common would, once PPO takes one mean off all, count as a merit of the unpushed.
    """
    turned = standardised(advantage[:, pushed]) - weight * standardised(cost)
    advantage[:, pushed] = turned / (1.0 + weight)


def standardised(advantage: NDArray[Any]) -> Advantage:
    """Mean 0 and spread 1, as PPO has them; without any spread all 0."""
    return np.asarray((advantage - advantage.mean()) / (float(advantage.std()) + 1e-8), np.float32)
