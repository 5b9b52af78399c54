"""EPIC and STARC: how far apart two rewards are once scale and potential shaping are taken away.

Tables are (S, A, S'); EPIC is Gleave et al. 2021 (arXiv 2006.13900), STARC Skalse et al. 2024 (arXiv 2309.15257).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Distance = Callable[[ArrayLike, ArrayLike], float]
ROUNDING = 1e-12
"""What cancelled down to this share of the numbers it was computed from is rounding, and no direction to compare."""


def epic_canonical(reward: ArrayLike, states: ArrayLike, actions: ArrayLike, gamma: float) -> Array:
    """C(R)(s,a,s') = R(s,a,s') + E[gamma R(s',A,S') - R(s,A,S') - gamma R(S,A,S')], a table (S, A, S').

    ``states`` (S,) and ``actions`` (A,): the coverage distributions D_S and D_A; S and S' are both drawn from D_S.
    """
    r = np.asarray(reward, float)
    d_s, d_a = (np.asarray(d, float) / np.sum(np.asarray(d, float)) for d in (states, actions))
    mean = np.einsum("a,t,sat->s", d_a, d_s, r)
    canonical: Array = r + gamma * mean[None, None, :] - mean[:, None, None] - gamma * float(d_s @ mean)
    return _unless_rounding(canonical, r)


def epic_distance(
    one: ArrayLike,
    other: ArrayLike,
    states: ArrayLike,
    actions: ArrayLike,
    gamma: float,
    coverage: ArrayLike | None = None,
) -> float:
    """sqrt((1 - Pearson) / 2) of the canonical tables, in [0, 1], weighted by ``coverage`` (S, A, S').

    ``coverage`` None: D_S x D_A x D_S, the product of the coverage distributions.
    """
    tables = [epic_canonical(r, states, actions, gamma) for r in (one, other)]
    product = np.einsum("s,a,t->sat", *(np.asarray(d, float) for d in (states, actions, states)))
    weights = product if coverage is None else np.asarray(coverage, float)
    return pearson_distance(tables[0].ravel(), tables[1].ravel(), weights.ravel())


def pearson_distance(one: ArrayLike, other: ArrayLike, weights: ArrayLike | None = None) -> float:
    """sqrt((1 - Pearson) / 2); of a constant and something else sqrt(1/2), of two constants 0."""
    a, b = _scaled(np.asarray(one, float)), _scaled(np.asarray(other, float))
    w = np.ones(len(a)) if weights is None else np.asarray(weights, float)
    w = w / w.sum()
    a, b = a - w @ a, b - w @ b
    size_a, size_b = math.sqrt(w @ a**2), math.sqrt(w @ b**2)
    flat = [size <= ROUNDING for size in (size_a, size_b)]
    if all(flat):
        return 0.0
    correlation = 0.0 if any(flat) else float(w @ (a * b)) / (size_a * size_b)
    return math.sqrt(max(0.0, 1 - correlation) / 2)


def levelled(reward: ArrayLike, transition: ArrayLike, gamma: float, policy: ArrayLike | None = None) -> Array:
    """Value-adjusted levelling: c(R)(s,a) = E_tau[R(s,a,S') + gamma V(S')] - V(s), a table (S, A).

    ``transition`` (S, A, S') is tau. ``policy`` (S, A): whose value function V is; None is uniform.
    """
    r, tau = np.asarray(reward, float), np.asarray(transition, float)
    count, actions = r.shape[:2]
    pi = np.full((count, actions), 1 / actions) if policy is None else np.asarray(policy, float)
    expected = (tau * r).sum(2)
    walk = np.einsum("sa,sat->st", pi, tau)
    value = np.linalg.solve(np.eye(count) - gamma * walk, (pi * expected).sum(1))
    residual: Array = expected + gamma * tau @ value - value[:, None]
    return _unless_rounding(residual, r, value)


def starc_distance(
    one: ArrayLike,
    other: ArrayLike,
    transition: ArrayLike,
    gamma: float,
    policy: ArrayLike | None = None,
) -> float:
    """STARC in [0, 1]: levelled, divided by the L2 norm, half the Euclidean distance (1: opposite rewards)."""
    tables = [levelled(r, transition, gamma, policy).ravel() for r in (one, other)]
    return normalised_distance(tables[0], tables[1])


def normalised_distance(one: ArrayLike, other: ArrayLike) -> float:
    """Half the Euclidean distance of two vectors divided by their norms; a zero vector stays zero."""
    a, b = (_unit(np.asarray(v, float)) for v in (one, other))
    return float(np.linalg.norm(a - b) / 2)


def sampled_epic(one: ArrayLike, other: ArrayLike) -> float:
    """EPIC of two rewards of the state that is reached, from their values (K,) on K sampled states; NaN without any.

    For R(s,a,s') = g(s') the canonical form is g(s') minus its mean under D_S, whatever gamma: the distance is that of
    g's Pearson correlation under the sample, which is the coverage distribution. Of rewards that pay for changes it
    says nothing.
    """
    return pearson_distance(one, other) if np.size(one) else math.nan


def sampled_starc(one: ArrayLike, other: ArrayLike, before: ArrayLike, after: ArrayLike, gamma: float) -> float:
    """STARC from K sampled transitions, with the minimal canonicalisation on potentials linear in the state.

    ``one``, ``other`` (K,) rewards; ``before``, ``after`` (K, S) states. The simulator must be deterministic, so that
    S' needs no averaging. NaN where nothing is left to compare (``canonical_samples``).
    """
    forms = canonical_samples(np.stack([np.asarray(one, float), np.asarray(other, float)]), before, after, gamma)
    return math.nan if forms is None else normalised_distance(forms[0], forms[1])


def canonical_samples(rewards: ArrayLike, before: ArrayLike, after: ArrayLike, gamma: float) -> Array | None:
    """Rewards (R, K) of K sampled transitions without their shaping: (R, K), or None of too few transitions.

    c(R) is the residual of the least-squares projection of R on gamma phi(s') - phi(s), phi the standardised state
    (K, S) and 1: the member of the class with the smallest L2 norm over the sample. It has mean 0. None where the
    transitions are no more than the directions taken away: any two rewards would look alike.
    """
    s, t = np.asarray(before, float), np.asarray(after, float)
    if len(s) == 0:
        return None
    centre, spread = s.mean(0), s.std(0)
    moves = spread > 1e-9 * np.maximum(1, np.abs(centre))
    phi = [np.column_stack([(x[:, moves] - centre[moves]) / spread[moves], np.ones(len(x))]) for x in (s, t)]
    basis = gamma * phi[1] - phi[0]
    if np.linalg.matrix_rank(basis) >= len(basis):
        return None
    return np.stack([_residual(reward, basis) for reward in np.asarray(rewards, float)])


def _residual(reward: Array, basis: Array) -> Array:
    left: Array = reward - basis @ np.linalg.lstsq(basis, reward, rcond=None)[0]
    # a least-squares fit loses more than sums do
    return _unless_rounding(left, reward, share=1e-9)


def _unless_rounding(left: Array, *sources: Array, share: float = ROUNDING) -> Array:
    """``left``, or zeros where it is nothing beside the ``sources`` that it is a difference of."""
    size = max(float(np.abs(source).max(initial=0)) for source in sources)
    return np.zeros_like(left) if float(np.abs(left).max(initial=0)) <= share * size else left


def _scaled(vector: Array) -> Array:
    """Divided by its largest entry, so that squares neither vanish nor overflow; a zero vector stays zero."""
    most = float(np.abs(vector).max(initial=0))
    return vector / most if most > 0 else vector


def _unit(vector: Array) -> Array:
    scaled = _scaled(vector)
    size = float(np.linalg.norm(scaled))
    return scaled / size if size > 0 else scaled
