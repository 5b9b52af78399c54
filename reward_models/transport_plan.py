"""Entropy-regularised optimal transport between two short sequences of embeddings (Sinkhorn, Cuturi 2013)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST_EPSILON = 0.033
"""Costs reach 2: the kernel stays above exp(-2 / 0.033) = 5e-27, well above the 1e-30 that keeps divisions finite."""


def cosine_cost(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 - cosine similarity of every pair, (n, m) in [0, 2]."""
    a = first / np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-8)
    b = second / np.maximum(np.linalg.norm(second, axis=1, keepdims=True), 1e-8)
    return np.asarray(1 - a @ b.T, np.float32)


def sinkhorn(cost: NDArray[np.float32], epsilon: float = 0.05, iterations: int = 60) -> NDArray[np.float64]:
    """The plan (n, m) with uniform marginals 1/n and 1/m that trades ``cost`` against entropy.

    ``epsilon`` in units of cost, ``LEAST_EPSILON`` or more: no log domain is needed then.
    """
    n, m = cost.shape
    kernel = np.exp(-cost.astype(np.float64) / epsilon)
    u, v = np.full(n, 1 / n), np.full(m, 1 / m)
    for _ in range(iterations):
        u = (1 / n) / (kernel @ v + 1e-30)
        v = (1 / m) / (kernel.T @ u + 1e-30)
    return np.asarray(u[:, None] * kernel * v[None], np.float64)


def transport_costs(
    episode: NDArray[np.float32],
    demonstration: NDArray[np.float32],
    epsilon: float = 0.05,
    iterations: int = 60,
) -> NDArray[np.float32]:
    """What each of the episode's n frames pays to be carried to the demonstration's m frames, (n,) in [0, 2].

    The demonstration's frames must all be covered with equal mass, so resting in one state that resembles its end
    is as costly as any other detour: this is why transport resists being hacked where progress levels do not.
    """
    cost = cosine_cost(episode, demonstration)
    plan = sinkhorn(cost, epsilon, iterations)
    return np.asarray((plan * cost).sum(1) * len(cost), np.float32)
