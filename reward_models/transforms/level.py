"""Level rewards: a share of an estimate itself, paid at every step."""

from __future__ import annotations

from typing import Literal

import numpy as np

from robo_reward.bounds import check_numbers
from robo_reward.contracts import Estimate, Flags, Floats, Transition
from robo_reward.errors import UserError, unknown_name
from robo_reward.transform_kinds import Nature

Source = Literal["progress", "match", "success"]
SOURCES: tuple[Source, ...] = ("progress", "match", "success")


class Level:
    """reward += weight * estimate of the state that was reached.

    ``source``: ``progress`` in [0, 1], ``match`` in [-1, 1] or ``success`` probability in [0, 1]. A level pays for
    staying where the estimate is high, so it is an objective of its own; it suits episodes that run to their time
    limit. In episodes that success ends it would pay a policy to avoid success, and is refused without ``Absorbing``.
    """

    def __init__(self, source: Source = "progress", weight: float = 1.0, conservatism: float = 0.0) -> None:
        """``conservatism``: how many units of uncertainty are taken off the progress first (UWO-like, linear).

        Raises:
            UserError: for an unknown source, a weight that is not finite, or a conservatism below 0.
        """
        if source not in SOURCES:
            raise unknown_name("source of transform level", source, SOURCES)
        check_numbers("transform level", weight=weight)
        check_numbers("transform level", least=0, conservatism=conservatism)
        self.base_reward: str | None = f"{weight:g}*{source}"
        self.nature = Nature("objective", pays="level", source=source)
        self._source, self._weight, self._conservatism = source, weight, conservatism

    def begin(self, first: Estimate, fresh: Flags) -> None:
        """Nothing to remember."""

    def __call__(self, reward: Floats, transition: Transition, estimate: Estimate) -> Floats:
        value = getattr(estimate, self._source)
        if value is None:
            raise UserError(
                f"transform level(source={self._source}): this reward model gives no {self._source}, which "
                "transform=default pays for; use transform=potential, success or level, or reward_model=transport; "
                "plain RL (reward_model=env_dense) takes transform=none"
            )
        if self._conservatism and self._source == "progress":
            value = np.maximum(value - self._conservatism * estimate.uncertainty, 0)
        return np.asarray(reward + self._weight * value, np.float32)
