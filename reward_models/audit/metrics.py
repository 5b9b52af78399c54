"""How well values order, separate, rate and rank: each figure of the report card, defined to the letter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata, spearmanr

TIE = 0.05
"""Of the largest difference between policies: what differs by less is a tie."""


def value_order_correlation(values: ArrayLike) -> float:
    """VOC: Spearman rank correlation of values with time, in [-1, 1]; a constant prediction counts as 0.

    GVL's and Robo-Dopamine's measure. It certifies order on successful episodes and nothing else.
    """
    v = np.asarray(values, float)
    if len(v) < 2 or np.ptp(v) == 0:
        return 0.0
    return float(spearmanr(np.arange(len(v)), v).statistic)


def concordance(values: ArrayLike, least: float = 0.02) -> float:
    """Goodman and Kruskal's gamma of values with time, over the pairs that differ by more than ``least``, in [-1, 1].

    VOC counts stretches without change as lack of order; a reward that waits for the object to move has them. Here
    only what goes the wrong way counts; 0 where nothing differs.
    """
    v = np.asarray(values, float)
    first, then = np.triu_indices(len(v), 1)
    change = v[then] - v[first]
    apart = np.abs(change) > least
    return float(np.sign(change[apart]).mean()) if apart.any() else 0.0


def auroc(positive: ArrayLike, negative: ArrayLike) -> float:
    """The probability that a random positive scores above a random negative, ties counted half; NaN if one is empty."""
    p, n = np.asarray(positive, float), np.asarray(negative, float)
    if len(p) == 0 or len(n) == 0:
        return float("nan")
    ranks = rankdata(np.concatenate([p, n]))
    return float((ranks[: len(p)].sum() - len(p) * (len(p) + 1) / 2) / (len(p) * len(n)))


def mean_or_none(values: Sequence[float]) -> float | None:
    """The mean, None of nothing."""
    return float(np.mean(values)) if len(values) else None


def negative_rate(gains: ArrayLike) -> float | None:
    """The share of steps whose gain is below 0 (VLAC's negative-step rate), None of nothing."""
    g = np.asarray(gains, float)
    return float((g < 0).mean()) if len(g) else None


def success_threshold(positive: ArrayLike, recall: float = 0.95) -> float:
    """The highest observed score at which at least ``recall`` of the positives are called successes."""
    ordered = np.sort(np.asarray(positive, float))
    return float(ordered[int(np.floor((1 - recall) * len(ordered) + 1e-9))])


def false_positive_rate(positive: ArrayLike, negative: ArrayLike, recall: float = 0.95) -> float | None:
    """The share of negatives at or above the threshold that every other positive calibrates; None if one is empty.

    Calibrated on the positives 0, 2, 4, ... alone, so that the others stay unseen by the threshold.
    """
    p, n = np.asarray(positive, float), np.asarray(negative, float)
    if len(p) == 0 or len(n) == 0:
        return None
    return float((n >= success_threshold(p[::2], recall)).mean())


def progress_label(progress: float, succeeded: bool) -> int:
    """RoboReward's 1 to 5 of a true final progress in [0, 1]: 5 only for successes, else 1 + 4 progress, at most 4."""
    return 5 if succeeded else min(4, 1 + round(4 * progress))


def label_errors(predicted: ArrayLike, labels: Sequence[int]) -> dict[str, float | None]:
    """Mean absolute error on 1-5 of final progress (E,) in [0, 1], read as 1 + 4 progress rounded to a whole label.

    ``mae_micro``: over all episodes; ``mae_macro``: the mean over the labels that occur, each with equal weight.
    """
    if not len(labels):
        return {"mae_micro": None, "mae_macro": None}
    said, truth = 1 + np.round(4 * np.asarray(predicted, float)), np.asarray(labels)
    errors = np.abs(said - truth)
    macro = float(np.mean([errors[truth == label].mean() for label in np.unique(truth)]))
    return {"mae_micro": float(errors.mean()), "mae_macro": macro}


def expected_calibration_error(probability: ArrayLike, truth: ArrayLike, bins: int = 10) -> float | None:
    """Sum over equal bins of [0, 1] of share x |mean probability - share of successes| (Naeini 2015)."""
    p, t = np.asarray(probability, float), np.asarray(truth, float)
    if len(p) == 0:
        return None
    place = np.minimum((p * bins).astype(int), bins - 1)
    gaps = [(place == b).mean() * abs(p[place == b].mean() - t[place == b].mean()) for b in np.unique(place)]
    return float(np.sum(gaps))


def policy_ranking(scores: Mapping[str, float], quality: Mapping[str, float]) -> float | None:
    """Kendall's tau-b between what the reward and what the simulator says of the same policies.

    Equal counts what differs by less than ``TIE`` of the largest difference: three policies that all succeed have an
    order by chance. None for fewer than two policies or where the simulator sees no difference; 0 where the reward
    sees none.
    """
    names = [name for name in scores if name in quality]
    said, true = (_order_of_pairs([rated[n] for n in names]) for rated in (scores, quality))
    if not true.any():
        return None
    both = np.sqrt(np.abs(said).sum() * np.abs(true).sum())
    return float((said * true).sum() / both) if both else 0.0


def _order_of_pairs(values: Sequence[float]) -> NDArray[np.float64]:
    """(P,) -1, 0 or 1 for each pair of values."""
    v = np.asarray(values, float)
    first, then = np.triu_indices(len(v), 1)
    change = v[then] - v[first]
    return np.asarray(np.sign(change) * (np.abs(change) > TIE * np.ptp(v)) if len(v) else change)
