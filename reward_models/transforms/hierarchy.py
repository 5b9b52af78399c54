"""Hierarchical products: a reward as the product of factors in [0, 1], so that none can make up for another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.bounds import check_numbers
from robo_reward.contracts import Estimate, Flags, Floats, Transition
from robo_reward.errors import UserError, unknown_name
from robo_reward.transform_kinds import Nature

Doubles = NDArray[np.float64]
Source = Literal["progress", "match", "success", "uncertainty"]
SOURCES: tuple[Source, ...] = ("progress", "match", "success", "uncertainty")


def contrast_reward(positive: Doubles, negative: Doubles, limit: float = 0.03) -> Doubles:
    """R = 1 - clip(cos(v, negative) - cos(v, positive), 0, limit) / limit, in [0, 1] (VLM-RL's language goals)."""
    return np.asarray(1 - np.clip(negative - positive, 0, limit) / limit)


def closeness(distance: Doubles, limit: float) -> Doubles:
    """max(0, 1 - |distance| / limit), in [0, 1]."""
    return np.maximum(0, 1 - np.abs(distance) / limit)


def driving_reward(semantic: Doubles, speed: Doubles, target: float, factors: Sequence[Doubles]) -> Doubles:
    """r_speed * product of the factors, r_speed = 1 - |v - semantic * target| / target (VLM-RL, arXiv 2412.15544).

    The semantic reward sets the speed that is wanted; the factors (distance to the lane's centre, angle, stability) are
    ``closeness`` values.
    """
    value = 1 - np.abs(speed - semantic * target) / target
    for factor in factors:
        value = value * factor
    return np.asarray(value)


class Product:
    """reward += weight * product of factors, each clip((estimate - low) / (high - low), 0, 1).

    VLM-RL's synthesis with our estimates. ``factors``: source -> [low, high]; low above high turns a factor around, as
    for ``uncertainty: [0.3, 0.0]``. ``terminal``: if negative it takes the product's place where an episode terminates
    with a success probability below 0.5. A factor of 0 takes all others' gradient: give none a low end that a random
    policy sits below.
    """

    def __init__(self, factors: Mapping[Source, Sequence[float]], terminal: float = 0.0, weight: float = 1.0) -> None:
        """Raises UserError for no factor, an unknown source, a range without width, a terminal above 0, or what is not
        finite."""
        if not factors:
            raise UserError("transform product needs at least one factor, e.g. factors={progress: [0, 1]}")
        for source, ends in factors.items():
            if source not in SOURCES:
                raise unknown_name("factor of transform product", source, SOURCES)
            if len(ends) != 2 or ends[0] == ends[1]:
                raise UserError(f"transform product: factors.{source}={list(ends)} must be two different numbers")
            bounds: dict[str, Any] = {f"factors.{source}[{k}]": end for k, end in enumerate(ends)}
            check_numbers("transform product", **bounds)
        check_numbers("transform product", weight=weight, terminal=terminal)
        if terminal > 0:
            raise UserError(f"transform product: terminal={terminal} must be 0 or below; it is a penalty")
        self.base_reward: str | None = f"{weight:g}*product({','.join(factors)})"
        self.nature = Nature("objective", pays="level")
        self._factors = {source: (float(low), float(high)) for source, (low, high) in factors.items()}
        self._terminal, self._weight = terminal, weight

    def begin(self, first: Estimate, fresh: Flags) -> None:
        """Nothing to remember."""

    def __call__(self, reward: Floats, transition: Transition, estimate: Estimate) -> Floats:
        value: Doubles = np.ones(len(reward))
        for source, (low, high) in self._factors.items():
            seen = getattr(estimate, source)
            if seen is None:
                raise UserError(
                    f"transform product: this reward model gives no {source}; use reward_model=transport, "
                    f"or leave factors.{source} out"
                )
            value = value * np.clip((seen - low) / (high - low), 0, 1)
        if self._terminal < 0:
            value = np.where(transition.terminated & (estimate.success < 0.5), self._terminal, value)
        return np.asarray(reward + self._weight * value, np.float32)
