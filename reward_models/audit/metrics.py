"""How well values order and separate: value-order correlation, AUROC, error, each defined to the letter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata, spearmanr


def value_order_correlation(values: ArrayLike) -> float:
    """VOC: Spearman rank correlation of values with time, in [-1, 1]; a constant prediction counts as 0.

    GVL's and Robo-Dopamine's measure. It certifies order on successful episodes and nothing else.
    """
    v = np.asarray(values, float)
    if len(v) < 2 or np.ptp(v) == 0:
        return 0.0
    return float(spearmanr(np.arange(len(v)), v).statistic)


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
