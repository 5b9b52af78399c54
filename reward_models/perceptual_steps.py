"""Steps of a task found in demonstrations, and the few features that tell each step from the others.

Source: Sermanet, Xu and Levine, Unsupervised Perceptual Rewards for Imitation Learning (arXiv 1612.06699).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError, unknown_name

Classifier = Literal["gaussian", "naive_bayes"]
CLASSIFIERS: tuple[Classifier, ...] = ("gaussian", "naive_bayes")
LEAST_STD = 0.1
"""In units of a feature's spread over the demonstrations: few frames make a spread look smaller than it is."""
Array = NDArray[np.float64]


def segment(features: Array, steps: int, shortest: int) -> list[int]:
    """Where each of ``steps`` steps of (F, D) features begins: the partition with the least summed average deviation.

    The average deviation of a step is the mean over features of their standard deviation within it (the paper's
    AverageStd, its Algorithm 1). The paper recurses over all splits; this finds the same optimum from a table.
    ``shortest``: frames that a step has at least.

    Raises:
        UserError: for fewer frames than ``steps * shortest``.
    """
    count = len(features)
    if count < steps * shortest:
        raise UserError(
            f"a demonstration of {count} priced frames cannot be cut into {steps} steps of at least {shortest}: set "
            "reward_model.stride, reward_model.segments or reward_model.shortest lower, or record a longer one"
        )
    cost = _deviations(features, shortest)
    best = np.full((steps + 1, count + 1), np.inf)
    begins = np.zeros((steps + 1, count + 1), np.int64)
    best[0, 0] = 0.0
    for step in range(1, steps + 1):
        total = best[step - 1, :, None] + cost  # (begin, end)
        begins[step], best[step] = total.argmin(0), total.min(0)
    found, end = [], count
    for step in range(steps, 0, -1):
        end = int(begins[step, end])
        found.append(end)
    return found[::-1]


def _deviations(features: Array, shortest: int) -> Array:
    """Average deviation of frames begin..end-1, (F+1, F+1) by begin and end; infinite where that is too short."""
    count = len(features)
    zero = np.zeros((1, features.shape[1]))
    centred = features - features.mean(0)
    first, second = (np.concatenate([zero, np.cumsum(centred**power, 0)]) for power in (1, 2))
    cost = np.full((count + 1, count + 1), np.inf)
    for begin in range(count - shortest + 1):
        ends = np.arange(begin + shortest, count + 1)
        length = (ends - begin)[:, None]
        mean = (first[ends] - first[begin]) / length
        variance = (second[ends] - second[begin]) / length - mean**2
        cost[begin, ends] = np.sqrt(np.maximum(variance, 0)).mean(1)
    return cost


@dataclass(frozen=True, slots=True)
class Step:
    """One step's features ``index`` (M,) and their Gaussians within the step and outside it, (M,) each.

    ``low`` and ``high``: the mean log-likelihoods that become 0 and 1; ``prior``: the log-odds of being in the step.
    """

    index: NDArray[np.int64]
    mean: Array
    std: Array
    other_mean: Array
    other_std: Array
    low: float
    high: float
    prior: float

    def reward(self, features: Array, classifier: Classifier) -> tuple[Array, Array]:
        """How far frames (F, D) are in this step, in [0, 1], and its standard error, (F,) each.

        ``gaussian``: the mean log-likelihood of the step's features, scaled so that a typical frame of other steps gets
        0 and a typical frame of this one 1. ``naive_bayes``: the probability of the step given its features.
        """
        x = features[:, self.index]
        inside = _log_likelihood(x, self.mean, self.std)
        if classifier == "gaussian":
            width = self.high - self.low
            value = (inside.mean(1) - self.low) / width
            return np.clip(value, 0, 1), inside.std(1) / np.sqrt(len(self.index)) / width
        odds = inside - _log_likelihood(x, self.other_mean, self.other_std)
        p = 1 / (1 + np.exp(-np.clip(odds.sum(1) + self.prior, -500, 500)))
        return p, p * (1 - p) * odds.std(1) * np.sqrt(len(self.index))

    def score(self, features: Array) -> Array:
        """The mean log-likelihood of the step's features, unscaled, (F,)."""
        return np.asarray(_log_likelihood(features[:, self.index], self.mean, self.std).mean(1))


def find_steps(demonstrations: Sequence[Array], steps: int, shortest: int, features: int, alpha: float) -> list[Step]:
    """Cuts every demonstration (F, D) into steps and describes step i by what it shares in all of them.

    The ``features`` with the greatest alpha |mu+ - mu-| - (sigma+ + sigma-) are chosen, + being the frames of the step
    and - those of the others; ``demonstrations`` hold standardised features.
    """
    pooled = np.concatenate(demonstrations)
    cuts = [[*segment(d, steps, shortest), len(d)] for d in demonstrations]
    label = np.concatenate([np.repeat(np.arange(steps), np.diff(cut)) for cut in cuts])
    return [_describe(pooled[label == step], pooled[label != step], features, alpha) for step in range(steps)]


def _describe(inside: Array, outside: Array, features: int, alpha: float) -> Step:
    mean, std = inside.mean(0), np.maximum(inside.std(0), LEAST_STD)
    other_mean, other_std = outside.mean(0), np.maximum(outside.std(0), LEAST_STD)
    value = alpha * np.abs(mean - other_mean) - (std + other_std)
    changes = np.ptp(np.concatenate([inside, outside]), 0) > 0
    value = np.where(changes, value, -np.inf)
    index = np.argsort(-value, kind="stable")[: min(features, int(changes.sum()))]
    mean, std, other_mean, other_std = (v[index] for v in (mean, std, other_mean, other_std))
    here, elsewhere = (_log_likelihood(x[:, index], mean, std).mean(1) for x in (inside, outside))
    low = float(np.median(elsewhere))
    # a thousandth of a nat: steps that look alike would else be told apart by rounding
    high = max(float(np.median(here)), low + 1e-3)
    prior = float(np.log(len(inside) / len(outside)))
    return Step(index, mean, std, other_mean, other_std, low, high, prior)


def combine(rewards: Sequence[Array]) -> Array:
    """The steps' rewards (n, F) as one in [0, 1]: sum over i >= 2 of 2^(i-1) R_i, over the sum of the weights.

    Later steps outweigh all earlier ones together. The first step is where every episode starts and earns nothing.
    """
    return np.asarray(np.tensordot(step_weights(len(rewards)), np.stack(rewards), 1), np.float64)


def step_weights(steps: int) -> Array:
    """Their weights (n,), summing to 1: 0, 2, 4, 8, ... over their sum."""
    weights = 2.0 ** np.arange(steps)
    weights[0] = 0.0
    return np.asarray(weights / weights.sum(), np.float64)


def checked(classifier: str) -> Classifier:
    """The classifier by name. UserError for another one."""
    for known in CLASSIFIERS:
        if classifier == known:
            return known
    raise unknown_name("perceptual classifier", classifier, CLASSIFIERS)


def _log_likelihood(x: Array, mean: Array, std: Array) -> Any:
    return -0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)
