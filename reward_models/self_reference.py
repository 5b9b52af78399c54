"""SRPO's arithmetic: centres of successful episodes, distances to them, and the share of reward that failures get.

Source: Self-Referential Policy Optimization, arXiv 2511.15605, and its released code.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError, unknown_name

Array = NDArray[np.float64]
Space = Literal["cosine", "pca", "standard"]
Form = Literal["min_max", "z_score"]
SPACES: tuple[Space, ...] = ("cosine", "pca", "standard")
FORMS: tuple[Form, ...] = ("min_max", "z_score")
NOISE = -1
_FLAT = 1e-6


def failure_share(distances: Array, form: Form, alpha: float | None = None, scale: Array | None = None) -> Array:
    """Rewards (K,) of failures whose embeddings lie ``distances`` (K,) from the nearest success; nearer is more.

    ``min_max`` (the released code): n = (d - min) / (max - min), 0.5 where all are equal; alpha * sigmoid(10 (0.5 - n))
    with alpha = 0.6. ``z_score`` (the paper, with the sign that is meant): alpha * sigmoid(-(d - mean) / std) with
    alpha = 0.8. ``scale``: the distances that minimum, maximum, mean and std are taken of, by default these.
    """
    if form not in FORMS:
        raise unknown_name("form of the failures' reward", form, FORMS)
    known = distances if scale is None else scale
    if form == "min_max":
        low, span = known.min(), np.ptp(known)
        n = np.full(len(distances), 0.5) if span < _FLAT else (distances - low) / span
        return (0.6 if alpha is None else alpha) * _sigmoid(10 * (0.5 - np.clip(n, 0, 1)))
    std = max(float(known.std()), _FLAT)
    return (0.8 if alpha is None else alpha) * _sigmoid(-(distances - known.mean()) / std)


def group_rewards(
    embeddings: Array, success: NDArray[np.bool_], centres: Array, form: Form, alpha: float | None = None
) -> Array:
    """Rewards (G,) of a group of episodes with embeddings (G, Z): 1 for success, a share for failures.

    An embedding of zeros is an episode that was not pictured; it gets 0. Without ``centres`` (C, Z) failures get 0.
    """
    rewards = success.astype(np.float64)
    failed = ~success & (np.abs(embeddings).max(1, initial=0) > 0)
    if len(centres) and failed.any():
        rewards[failed] = failure_share(nearest(embeddings[failed], centres), form, alpha)
    return rewards


def nearest(embeddings: Array, centres: Array) -> Array:
    """Euclidean distances (K,) of (K, Z) to the nearest of (C, Z)."""
    return np.asarray(np.linalg.norm(embeddings[:, None] - centres[None], axis=2).min(1))


def success_centres(successes: Array, space: Space, eps: float | None, min_samples: int, components: int) -> Array:
    """Means (C, Z) of the clusters that DBSCAN finds among (S, Z) successes; the mean of all where it finds none.

    ``cosine``: by angle. ``pca``: standardised, then the first ``components`` principal ones. ``standard``: only
    standardised, as released, where two of many dimensions are so far apart that eps = 0.5 calls all of them noise.
    ``eps`` None: twice the median distance to the ``min_samples``-th nearest (itself the first).
    """
    if len(successes) == 0:
        return successes
    points = _placed(successes, space, components)
    gaps = np.linalg.norm(points[:, None] - points[None], axis=2)
    if eps is None:
        rank = min(min_samples, len(points)) - 1
        eps = 2 * float(np.median(np.sort(gaps, 1)[:, rank]))
    labels = dbscan(gaps, eps, min_samples)
    found = [successes[labels == k].mean(0) for k in range(labels.max(initial=NOISE) + 1)]
    return np.stack(found) if found else successes.mean(0, keepdims=True)


def dbscan(gaps: Array, eps: float, min_samples: int) -> NDArray[np.int64]:
    """Labels (S,) of clusters from distances (S, S); -1 is noise (Ester et al. 1996). A point is its own neighbour."""
    near = gaps <= eps
    core = near.sum(1) >= min_samples
    labels = np.full(len(gaps), NOISE)
    cluster = 0
    for start in np.flatnonzero(core):
        if labels[start] != NOISE:
            continue
        waiting = [int(start)]
        while waiting:
            point = waiting.pop()
            if labels[point] == NOISE:
                labels[point] = cluster
                waiting += np.flatnonzero(near[point]).tolist() if core[point] else []
        cluster += 1
    return labels


def check_space(space: Space, eps: float | None, min_samples: int, components: int) -> None:
    """Refuses what cannot be clustered with.

    Raises:
        UserError: an unknown space, or a number below its least.
    """
    if space not in SPACES:
        raise unknown_name("space of the clustering", space, SPACES)
    if (eps is not None and eps <= 0) or min_samples < 1 or components < 1:
        raise UserError(f"eps={eps} must be above 0, min_samples={min_samples} and components={components} at least 1")


def unit(embeddings: Array) -> Array:
    """Rows of length 1; rows of zeros stay."""
    length = np.linalg.norm(embeddings, axis=-1, keepdims=True)
    return np.asarray(embeddings / np.where(length > 0, length, 1))


def _placed(successes: Array, space: Space, components: int) -> Array:
    if space == "cosine":
        return unit(successes)  # chords grow with angles
    spread = successes.std(0)
    scaled = (successes - successes.mean(0)) / np.where(spread > _FLAT, spread, 1)
    if space == "standard":
        return np.asarray(scaled)
    _, _, axes = np.linalg.svd(scaled, full_matrices=False)
    return np.asarray(scaled @ axes[:components].T)


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -60, 60))))
