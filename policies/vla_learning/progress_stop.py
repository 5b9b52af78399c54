"""EVOLVE-VLA's ends of episodes: by the learned progress, and by a horizon that grows from stage to stage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Flags, Needs, Observation, RewardModel, Transition
from robo_reward.errors import UserError, unknown_name
from robo_reward.playground import HorizonStop
from robo_reward.rollout import Stopper
from robo_reward.separate_looks import SeparateLooks

StopsBy = Literal["progress", "success"]
STOPS_BY: tuple[StopsBy, ...] = ("progress", "success")


class ProgressStop:
    """Ends an episode at the ``consecutive``-th look in a row with progress above ``threshold``; no simulator is asked.

    The paper (arXiv 2512.14666) ends at the first check; one noisy check would cut off a good episode, so two are the
    default. Looks are the reward model's own stride apart. ``by``: what is looked at, ``progress`` or ``success``.
    """

    def __init__(
        self, model: RewardModel, threshold: float = 0.95, consecutive: int = 2, by: StopsBy = "progress"
    ) -> None:
        """Raises UserError for a threshold outside (0, 1), fewer than 1 look, or a model of whole episodes."""
        if by not in STOPS_BY:
            raise unknown_name("stop_by", by, STOPS_BY)
        if not 0 < threshold < 1 or consecutive < 1:
            raise UserError(f"stop={threshold} must be above 0 and below 1 and consecutive={consecutive} 1 or more")
        if model.needs.episode:
            raise UserError("this reward model prices whole episodes, so its progress can end none: set stop=null")
        self._looks, self._threshold, self._consecutive = SeparateLooks(model), threshold, consecutive
        self._by: StopsBy = by
        self.needs: Needs = model.needs
        self._run: NDArray[np.int64] = np.zeros(0, np.int64)
        self._age: NDArray[np.int64] = np.zeros(0, np.int64)

    def begin(self, first: Observation, fresh: Flags) -> None:
        """Episodes where ``fresh`` (N,) is True start anew."""
        self._looks.begin(first, fresh)
        same = len(self._age) == len(fresh)
        self._run = np.where(fresh, 0, self._run if same else 0)
        self._age = np.where(fresh, 0, self._age if same else 0)

    def stops(self, transition: Transition) -> Flags:
        """(N,) the episodes that this look ends."""
        self._age = self._age + 1
        look: Flags = self._age % self.needs.stride == 0
        if not look.any():
            return look
        estimate = self._looks.estimate_where(transition, look)
        above = np.asarray(estimate.progress if self._by == "progress" else estimate.success) > self._threshold
        self._run = np.where(look, np.where(above, self._run + 1, 0), self._run)
        return np.asarray(look & (self._run >= self._consecutive))


class OracleStop:
    """Ends an episode where the simulator calls it a success: for runs whose reward asks it anyway, and are marked so.

    What a policy does afterwards earned nothing, and is learned from otherwise.
    """

    needs = Needs()

    def begin(self, first: Observation, fresh: Flags) -> None:
        """Nothing is remembered."""

    def stops(self, transition: Transition) -> Flags:
        """(N,) the episodes that this step ends."""
        return np.asarray(transition.env_reward > 0)


def check_stages(stages: Sequence[float]) -> tuple[float, ...]:
    """Shares of the world's horizon, one a stage.

    Raises:
        UserError: none, one outside (0, 1], or one that is below its predecessor.
    """
    shares = tuple(float(s) for s in stages)
    if not shares or any(not 0 < s <= 1 for s in shares) or list(shares) != sorted(shares):
        raise UserError(f"stages={list(stages)} must be ascending shares of the horizon, e.g. [0.5,0.75,1]")
    return shares


def horizon_at(stages: Sequence[float], horizon: int, *spent: tuple[int, int]) -> int:
    """Decisions of an episode where ``spent`` (so far, at most) is over of each bound: updates, rollouts, steps.

    Stages are equal parts of the bound that will be reached first.
    """
    reached = max(done * len(stages) // max(most, 1) for done, most in spent)
    stage = min(len(stages) - 1, reached)
    return max(1, math.ceil(stages[stage] * horizon))


def episode_end(horizon: int, world_horizon: int, stop: Stopper | None) -> Stopper | None:
    """What ends episodes: the horizon of the stage if it is shorter than the world's, and ``stop``."""
    return stop if horizon >= world_horizon else HorizonStop(horizon, stop)
