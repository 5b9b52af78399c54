"""Which pairs of moments a hop model learns from: balanced over hops and over how far apart they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robo_reward.reward_models.step_prm.discretise import Steps, signed_hop

SCORE_BINS, GAP_BINS = 25, 4
OVERSAMPLE, MOST_CANDIDATES = 100, 100_000
ZERO_SHARE, ZERO_SHIFT = 0.05, 0.075


@dataclass(frozen=True, slots=True)
class Pairs:
    """``before`` and ``after`` (B,) step indices of an episode, ``hop`` (B,) float32 in [-1, 1]."""

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    hop: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.hop)


def sample_pairs(steps: Steps, count: int, last: int, rng: np.random.Generator) -> Pairs:
    """``count`` pairs of one episode (arXiv 2512.23703 section 3.1 and its release), ``last`` its last step index.

    95% balanced over 25 bins of the hop and 4 bins of the distance in frames, 5% with hop 0: a moment and one that is
    max(1, 7.5% of the distance to its neighbour) frames earlier or later.
    """
    zeros = round(ZERO_SHARE * count)
    balanced = balanced_pairs(steps, count - zeros, rng)
    at = rng.integers(0, len(steps.frame), zeros)
    window = np.diff(steps.frame)[np.minimum(at, len(steps.frame) - 2)]
    shift = np.maximum(1, np.floor(ZERO_SHIFT * window)).astype(np.int64) * rng.choice([-1, 1], zeros)
    still = steps.frame[at]
    moved = np.where((still + shift < 0) | (still + shift > last), still - shift, still + shift).clip(0, last)
    return Pairs(
        np.concatenate([balanced.before, still]),
        np.concatenate([balanced.after, moved]),
        np.concatenate([balanced.hop, np.zeros(zeros, np.float32)]),
    )


def balanced_pairs(steps: Steps, count: int, rng: np.random.Generator) -> Pairs:
    """``count`` pairs, equally many in each of the 25 x 4 bins as far as the episode has them.

    What a bin lacks is taken from the rest of its hop's bin, then from the bins nearest to hop 0. An episode with fewer
    pairs than asked for gives some of them more than once.
    """
    before, after = _candidates(len(steps.frame), count, rng)
    hop = signed_hop(steps.progress[before], steps.progress[after])
    score = np.clip(((hop + 1) / 2 * SCORE_BINS).astype(np.int64), 0, SCORE_BINS - 1)
    distance = np.abs(steps.frame[after] - steps.frame[before])
    longest = max(int(steps.frame[-1] - steps.frame[0]), 1)
    gap = np.clip(distance * GAP_BINS // longest, 0, GAP_BINS - 1)
    chosen = _choose(score, gap, count)
    return Pairs(steps.frame[before[chosen]], steps.frame[after[chosen]], hop[chosen].astype(np.float32))


def _candidates(points: int, count: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ordered pairs of different points in random order: all of them, or as many as the pool may hold."""
    pool = min(OVERSAMPLE * max(count, 1), MOST_CANDIDATES)
    if points * (points - 1) <= pool:
        code = rng.permutation(points * (points - 1))
    else:
        code = rng.choice(points * (points - 1), pool, replace=False)
    before, other = code // (points - 1), code % (points - 1)
    return before, other + (other >= before)


def _choose(score: NDArray[np.int64], gap: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Indices of ``count`` candidates: every cell's share, then its row's, then from the centre outwards."""
    quota = count / SCORE_BINS
    rank = _rank_within(score * GAP_BINS + gap)
    # candidates beyond the cell's share come after all that are within it
    in_row = _rank_within(score, order=np.where(rank < quota / GAP_BINS, 0, 1))
    centre = np.abs(score - SCORE_BINS // 2)
    order = np.lexsort((np.arange(len(score)), centre, in_row >= quota))
    within = int((in_row < quota).sum())
    if within > count:  # shares are rounded up: drop evenly
        order[:within] = order[:within][np.argsort(in_row[order[:within]], kind="stable")]
    return np.resize(order, count)


def _rank_within(group: NDArray[np.int64], order: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """(B,) how many of the same group come first, by ``order`` and then by place."""
    first = np.zeros(len(group), np.int64) if order is None else order
    arranged = np.lexsort((np.arange(len(group)), first, group))
    starts = np.searchsorted(group[arranged], group[arranged])
    rank = np.empty(len(group), np.int64)
    rank[arranged] = np.arange(len(group)) - starts
    return rank
