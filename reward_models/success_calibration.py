"""From scores to probabilities that mean what they say, and to a threshold with a chosen false-positive rate."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from robo_reward.bounds import check_numbers, check_positive
from robo_reward.contracts import Floats
from robo_reward.errors import UserError

Scores = NDArray[np.floating]
STEEP = 1e-3
"""The least temperature as a share of the scores' spread."""
FLAT = 1e3
"""The greatest: scores that order the wrong way round say nothing, every probability is then about 0.5."""

SUREST = np.nextafter(np.float32(1), np.float32(0))
"""The greatest p(success)."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """p(success) = sigmoid((score - offset) / temperature); ``threshold`` in [0, 1]: from there on it is a success.

    No score makes it certain: p stays below 1, so that threshold 1 is reached by none. That is what a failure as sure
    as any success can be leads to where no failure may pass.
    """

    temperature: float = 1.0
    offset: float = 0.0
    threshold: float = 0.5

    def __post_init__(self) -> None:
        """Raises UserError for a number that is not finite, a temperature of 0 or less, a threshold beyond [0, 1]."""
        owner = "calibration of p(success)"
        check_positive(owner, temperature=self.temperature)
        check_numbers(owner, offset=self.offset)
        check_numbers(owner, least=0, most=1, threshold=self.threshold)

    def probability(self, score: Scores) -> Floats:
        """p(success), of the scores' shape, float32 in [0, 1)."""
        z = (np.asarray(score, np.float64) - self.offset) / self.temperature
        p = (1 / (1 + np.exp(-np.clip(z, -30, 30)))).astype(np.float32)
        return np.asarray(np.minimum(p, SUREST), np.float32)

    def state(self) -> dict[str, float]:
        """For saving."""
        return asdict(self)


def calibrate(
    success: Scores, failure: Scores, false_positive_rate: float = 0.01, *, shift: bool = False
) -> Calibration:
    """Fits a calibration to held-out scores (P,) of successes and (Q,) of failures.

    Temperature scaling (Guo et al. 2017, arXiv 1706.04599): the temperature that makes the labels likeliest; with
    ``shift`` an offset too, for scores that are no logits. Labels are Platt's (1999), (P + 1) / (P + 2) and
    1 / (Q + 2): a few separable frames do not make it certain. Both classes weigh the same however many frames each
    has, so the probability is that of a scene in which success and failure are equally likely beforehand.
    The threshold leaves at most a share ``false_positive_rate`` of the failures at or above it.

    Raises:
        UserError: where either class is missing, or for a rate outside [0, 1).
    """
    if not 0 <= false_positive_rate < 1:
        raise UserError(
            f"false_positive_rate={false_positive_rate} must be at least 0 and below 1: a share of failures"
        )
    if len(success) == 0 or len(failure) == 0:
        raise UserError(
            f"calibration needs held-out successes and failures, got {len(success)} and {len(failure)} frames: "
            "fit on more demonstrations or negatives"
        )
    scores = np.concatenate([success, failure]).astype(np.float64)
    p, q = len(success), len(failure)
    labels = np.repeat([(p + 1) / (p + 2), 1 / (q + 2)], [p, q])
    weights = np.repeat([0.5 / p, 0.5 / q], [p, q])
    temperature, offset = _likeliest(scores, labels, weights, shift)
    found = Calibration(temperature, offset)
    return Calibration(temperature, offset, threshold_at(found.probability(failure), false_positive_rate))


def threshold_at(failures: Scores, rate: float) -> float:
    """The least threshold that at most a share ``rate`` of ``failures`` (Q,) reach, a hair above one of them.

    In [0, 1] for probabilities, all of which are taken to be at most ``SUREST`` as a calibration's are: failures at it
    leave threshold 1, which nothing reaches (``fit/recall`` is 0 then).
    """
    ordered = np.minimum(np.sort(np.asarray(failures, np.float32))[::-1], SUREST)
    allowed = int(np.floor(rate * len(ordered)))
    if allowed >= len(ordered):
        return float(ordered[-1])
    return float(np.nextafter(ordered[allowed], np.float32(np.inf)))


def held(probability: Floats, consecutive: int) -> Floats:
    """For every frame (F,) the least probability of it and the ``consecutive - 1`` after it, (F - consecutive + 1,)."""
    if len(probability) < consecutive:
        return probability[:0]
    return np.asarray(np.lib.stride_tricks.sliding_window_view(probability, consecutive).min(1))


def _likeliest(scores: Scores, labels: Scores, weights: Scores, shift: bool) -> tuple[float, float]:
    """Temperature and offset of the least weighted cross-entropy, the temperature within its bounds."""
    centre, spread = (float(scores.mean()) if shift else 0.0), max(float(scores.std()), 1e-12)
    x = (scores - centre) / spread

    def loss(free: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = free[0] * x + (free[1] if shift else 0.0)
        error = weights * (1 / (1 + np.exp(-np.clip(z, -500, 500))) - labels)
        value = float((weights * (np.logaddexp(0, z) - labels * z)).sum())
        return value, np.array([(error * x).sum(), error.sum() if shift else 0.0])

    best = minimize(
        loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(1 / FLAT, 1 / STEEP), (None, None)]
    )
    slope, bias = float(best.x[0]), float(best.x[1])
    return spread / slope, centre - spread * bias / slope
