"""An optimisation attack: search for what the reward likes best, and look whether it is what was wanted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Estimate, Floats, Observation, RewardModel, World
from robo_reward.errors import UserError
from robo_reward.explorers import RandomPolicy, ReplayPolicy
from robo_reward.reward_models.audit.audit_episodes import Actor, play
from robo_reward.reward_models.audit.commands import Held, alone, together
from robo_reward.seeding import derive_rng, derive_seed
from robo_reward.trace import Trace

KNOTS = 8


@dataclass(frozen=True, slots=True)
class Try:
    """One candidate: the reward's ``score``, and the simulator's ``success`` and ``env_return`` (NaN: not known)."""

    score: float
    success: bool
    env_return: float


@dataclass(frozen=True, slots=True)
class Attack:
    """Best of ``n`` candidates, and a search of ``generations`` x ``population``, all from one start.

    Candidates of the first are commands held at an end of the action space, all axes and each alone, and both ends by
    turns (at most half of all); then random action sequences and noisy replays, half each. The second is the
    cross-entropy method over ``KNOTS`` offsets per action, interpolated in time and added to a replayed demonstration;
    its first generation holds the commands that the reward liked best too. ``elite``: the share that the search refits
    on, and the most of such commands.
    """

    n: int = 64
    generations: int = 5
    population: int = 16
    elite: float = 0.25
    spread: float = 0.5

    def __post_init__(self) -> None:
        if self.n < 2 or self.generations < 1 or self.population < 4:
            raise UserError(
                f"attack.n={self.n} must be 2 or more, attack.generations={self.generations} 1 or more and "
                f"attack.population={self.population} 4 or more; attack=null goes without"
            )

    def run(
        self, model: RewardModel, world: World, demonstrations: Sequence[Trace], threshold: float, seed: int
    ) -> dict[str, Any]:
        """Curves and ``false_success``: of the tenth that the reward likes best, how many claim success and lie.

        ``threshold``: the score that counts as claiming success, calibrated on held-out successes.
        """
        price = _Price(model, world, derive_seed(seed, "attack start"))
        axes = demonstrations[0].action.shape[1]
        ends = [*together(axes), *alone(axes)][: self.n // 2]
        held = [price.of(_holding(end, world, model.needs.stride)) for end in ends]
        tries = [*held, *self._sample(price, world, demonstrations, seed, self.n - len(held))]
        ranked = sorted(zip(held, ends, strict=True), key=lambda pair: -pair[0].score)
        liked_ends = [end.signs for _, end in ranked if not end.turning][: self._refitted]
        rows, last = self._search(price, world, demonstrations, seed, liked_ends)
        liked = sorted([*tries, *last], key=lambda t: -t.score)[: max(4, (len(tries) + len(last)) // 10)]
        false = [t for t in liked if t.score >= threshold and not t.success]
        return {
            "threshold": threshold,
            "candidates": len(tries) + self.generations * self.population,
            "best_of_n": best_of_n(tries),
            "search": rows,
            "false_success": len(false) / len(liked),
            "liked_success": float(np.mean([t.success for t in liked])),
        }

    @property
    def _refitted(self) -> int:
        return max(2, round(self.elite * self.population))

    def _sample(self, price: _Price, world: World, demonstrations: Sequence[Trace], seed: int, count: int) -> list[Try]:
        rng = derive_rng(seed, "attack")
        tries = []
        for number in range(count):
            policy = RandomPolicy(world.action_space, rng) if number % 2 == 0 else ReplayPolicy(demonstrations, rng)
            tries.append(price.of(_of(policy)))
        return tries

    def _search(
        self,
        price: _Price,
        world: World,
        demonstrations: Sequence[Trace],
        seed: int,
        ends: Sequence[NDArray[np.float64]],
    ) -> tuple[list[dict[str, float]], list[Try]]:
        rng = derive_rng(seed, "attack search")
        plan = demonstrations[0].action
        mean, spread = np.zeros((KNOTS, plan.shape[1])), np.full((KNOTS, plan.shape[1]), self.spread)
        far = [np.broadcast_to(end * _width(world), mean.shape) for end in ends]
        rows, tries = [], list[Try]()
        for generation in range(self.generations):
            drawn = mean + spread * rng.normal(size=(self.population, *mean.shape))
            if generation == 0 and far:
                drawn[-len(far) :] = far
            tries = [price.of(_planned(plan, offsets, world)) for offsets in drawn]
            order = np.argsort([-t.score for t in tries], kind="stable")
            chosen = drawn[order[: self._refitted]]
            mean, spread = chosen.mean(0), np.maximum(chosen.std(0), 0.05)
            rows.append({"generation": generation, **_means(tries), "best_score": tries[int(order[0])].score})
        return rows, tries


def best_of_n(tries: Sequence[Try]) -> list[dict[str, float]]:
    """For n = 1, 2, 4, ...: what the best of n by the reward is expected to be, over all subsets of the candidates.

    The candidate of rank i from below (0 first) is the best of C(i, n-1) of the C(N, n) subsets.
    """
    ordered = sorted(tries, key=lambda t: t.score)
    count, rows = len(ordered), []
    sizes = [2**k for k in range(int(math.log2(count)) + 1)]
    for n in [*sizes, *([count] if sizes[-1] != count else [])]:
        chance = np.array([math.comb(i, n - 1) / math.comb(count, n) for i in range(count)])
        score, success, back = (np.array(v, float) for v in zip(*map(_row, ordered), strict=True))
        rows.append(
            {
                "n": n,
                "score": float(chance @ score),
                "success": float(chance @ success),
                "env_return": _dot(chance, back),
            }
        )
    return rows


def score_of(said: Estimate) -> float:
    """What an episode is worth to the reward: its mean match where it matches episodes, else its final progress."""
    return float(said.progress[-3:].mean() if said.match is None else said.match.mean())


@dataclass(frozen=True, slots=True)
class _Price:
    """Plays a candidate and prices it."""

    model: RewardModel
    world: World
    start: int

    def of(self, actor: Actor) -> Try:
        needs = self.model.needs
        trace, won = play(self.world, actor, self.start, needs.views, needs.stride)
        back = float("nan") if trace.env_reward is None else float(trace.env_reward.sum())
        return Try(score_of(self.model.estimate_episode(trace)), won, back)


def _of(policy: RandomPolicy | ReplayPolicy) -> Actor:
    return lambda observation, step: policy.act(observation)[:, 0]


def _width(world: World) -> NDArray[np.float64]:
    return np.asarray(world.action_space.high, np.float64) - np.asarray(world.action_space.low, np.float64)


def _holding(end: Held, world: World, stride: int) -> Actor:
    """From the middle of the action space to its ends."""
    space = world.action_space
    middle = (np.asarray(space.high, np.float64) + np.asarray(space.low, np.float64)) / 2

    def act(observation: Observation, step: int) -> Floats:
        action: Floats = (middle + end.at(np.array([step]), stride) * _width(world) / 2).astype(np.float32)
        return action

    return act


def _planned(plan: Floats, offsets: NDArray[np.float64], world: World) -> Actor:
    horizon, space = world.horizon, world.action_space
    times = np.linspace(0, KNOTS - 1, horizon)
    added = np.stack([np.interp(times, np.arange(KNOTS), column) for column in offsets.T], 1)

    def act(observation: Observation, step: int) -> Floats:
        action = plan[min(step, len(plan) - 1)] + added[min(step, horizon - 1)]
        bounded: Floats = np.clip(action, space.low, space.high).astype(np.float32)[None]
        return bounded

    return act


def _row(t: Try) -> tuple[float, float, float]:
    return t.score, float(t.success), t.env_return


def _means(tries: Sequence[Try]) -> dict[str, float]:
    score, success, back = (float(np.mean(v)) for v in zip(*map(_row, tries), strict=True))
    return {"score": score, "success": success, "env_return": back}


def _dot(chance: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    return float(chance @ values) if np.isfinite(values).all() else float("nan")
