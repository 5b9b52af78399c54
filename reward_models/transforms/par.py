"""Preference As Reward: a bounded reward, the chance of being preferred to what a reference policy earns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robo_reward.bounds import check_numbers
from robo_reward.contracts import Estimate, Flags, Floats, Transition
from robo_reward.errors import UserError
from robo_reward.transform_kinds import Nature


def preference(
    reward: NDArray[np.floating], references: Sequence[float], steepness: float = 1.0
) -> NDArray[np.float64]:
    """(1/M) sum_m sigmoid(steepness * (r - r_m)) in [0, 1], elementwise: the chance of beating M references."""
    gaps = steepness * (np.asarray(reward, np.float64)[..., None] - np.asarray(references, np.float64))
    return np.asarray((0.5 * (1 + np.tanh(0.5 * gaps))).mean(-1))


class Par:
    """reward = mean over references of sigmoid(steepness * (reward - reference)) (PAR, section "Preference As Reward").

    Steep around the references, flat where an estimate has run away: a hack that pays ten times as much is worth hardly
    more than a success. ``references``: what the frozen policy earns per step in the same units, for example the means
    of ``RewardStack.price`` over episodes of the cloned policy without this piece; one already does. Bends rewards, so
    the optimum may move.
    """

    def __init__(self, references: Sequence[float] = (0.0,), steepness: float = 1.0) -> None:
        """Raises UserError without a reference or for a steepness that is not positive and finite."""
        if len(references) == 0 or not np.isfinite(references).all():
            raise UserError(f"transform par: references={list(references)} must list at least one finite reward")
        check_numbers("transform par", steepness=steepness)
        if not steepness > 0:
            raise UserError(f"transform par: steepness={steepness} must be above 0")
        self.base_reward: str | None = None
        self.nature = Nature("reshape", low=0.0, high=1.0, lifts=True)
        self._references, self._steepness = tuple(float(r) for r in references), steepness

    def begin(self, first: Estimate, fresh: Flags) -> None:
        """Nothing to remember."""

    def __call__(self, reward: Floats, transition: Transition, estimate: Estimate) -> Floats:
        return preference(reward, self._references, self._steepness).astype(np.float32)
