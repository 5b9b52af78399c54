"""Min-form credit: an episode is worth its worst moment, so that one good stretch cannot pay for a bad one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.bounds import check_numbers
from robo_reward.contracts import Estimate, Floats
from robo_reward.errors import unknown_name
from robo_reward.trace import Trace
from robo_reward.transform_kinds import Nature

Doubles = NDArray[np.float64]
Source = Literal["progress", "success", "reward"]
SOURCES: tuple[Source, ...] = ("progress", "success", "reward")


def min_form_rewards(process: NDArray[np.floating], temperature: float) -> Doubles:
    """r_t = w_t p_t with w = softmax(-p / temperature), (T,), from process rewards p (T,) (PURE, Stop Summation).

    Their sum tends to min p as the temperature falls; at 0 the first worst step gets all of it.
    """
    values = np.asarray(process, np.float64)
    if len(values) == 0:
        return values
    if temperature == 0:
        return np.where(np.arange(len(values)) == np.argmin(values), values, 0.0)
    weights = np.exp(-(values - values.min()) / temperature)
    return np.asarray(values * weights / weights.sum())


def min_form_returns(process: NDArray[np.floating], temperature: float = 0.0) -> Doubles:
    """G_t (T,), the undiscounted return-to-go: min p up to the worst step and 0 after it, at temperature 0."""
    return np.asarray(np.cumsum(min_form_rewards(process, temperature)[::-1])[::-1])


def min_form_advantages(
    process: NDArray[np.floating], values: NDArray[np.floating], temperature: float = 0.1
) -> Doubles:
    """PPO's advantages (T,) under min-form credit: G_t less the critic's values (T,), in place of GAE."""
    return min_form_returns(process, temperature) - np.asarray(values, np.float64)


class MinForm:
    """reward = min-form credit of a whole episode, ``weight`` times (PURE; temperature 0.1 in its release).

    ``source``: the process rewards p in [-1, 1]. PURE's judge single steps, right or wrong; robot tasks have
    ``progress`` - t / T, how far ahead of an even pace to the episode's end T (our reading): an episode is worth the
    moment at which it lags most, about 0 for one that succeeds and -1 for one that does nothing. ``success``:
    2 P(success) - 1, for models whose success judges steps; a detector of the finished task is at -1 wherever one
    begins and so tells no episode from another. Both add to the reward so far, as an objective. ``reward``: the reward
    so far takes p's place. ``segment``: p is the mean over that many steps and its credit is paid at the segment's
    last one: frames next to each other say the same. With learner=ppo set learner.pricing=deferred, learner.gamma=1 and
    learner.gae_lambda=1, and the advantages are PURE's; nothing is bootstrapped at the end.
    """

    group = False

    def __init__(
        self, source: Source = "progress", temperature: float = 0.1, segment: int = 1, weight: float = 1.0
    ) -> None:
        """Raises UserError for a negative temperature, a segment of no whole number of steps, or what is not finite."""
        if source not in SOURCES:
            raise unknown_name("source of transform min_form", source, SOURCES)
        check_numbers("transform min_form", weight=weight)
        check_numbers("transform min_form", least=0, temperature=temperature)
        check_numbers("transform min_form", least=1, whole=True, segment=segment)
        adds = source != "reward"
        self.base_reward: str | None = f"{weight:g}*min_form({source})" if adds else None
        self.nature = Nature(
            "objective" if adds else "reshape", "episode", pays="event" if adds else None, source=source
        )
        self._source, self._temperature, self._segment, self._weight = source, temperature, segment, weight

    def price(self, rewards: Sequence[Floats], episodes: Sequence[tuple[Trace, Estimate]]) -> list[Floats]:
        """(T_i,) for every episode."""
        priced = []
        for reward, (_, estimate) in zip(rewards, episodes, strict=True):
            credit = self._weight * self._spread(np.asarray(self._process(reward, estimate), np.float64))
            kept = 0.0 if self._source == "reward" else reward
            priced.append(np.asarray(kept + credit, np.float32))
        return priced

    def _process(self, reward: Floats, estimate: Estimate) -> NDArray[np.floating]:
        if self._source == "progress":
            return estimate.progress[1:] - np.arange(1, len(reward) + 1) / len(reward)
        return 2.0 * estimate.success[1:] - 1.0 if self._source == "success" else reward

    def _spread(self, process: Doubles) -> Doubles:
        ends = np.minimum(np.arange(0, len(process), self._segment) + self._segment, len(process))
        means = np.asarray([process[max(0, e - 1) // self._segment * self._segment : e].mean() for e in ends])
        credit = np.zeros(len(process))
        if len(ends):
            credit[ends - 1] = min_form_rewards(means, self._temperature)
        return credit
