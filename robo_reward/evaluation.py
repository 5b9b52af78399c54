"""Success rates with their uncertainty, measured in a world of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from robo_reward.contracts import Policy, World
from robo_reward.rollout import OnStep, rollout
from robo_reward.sealed_log import Outcome
from robo_reward.seeding import derive_seed
from robo_reward.trace import Trace
from robo_reward.walking import repeated_starts


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a policy did in ``episodes`` episodes; ``success_rate`` and ``ci95`` are None where the task has no test."""

    episodes: int
    success_rate: float | None
    ci95: tuple[float, float] | None
    env_return: float
    successes: tuple[bool | None, ...]

    @property
    def successful(self) -> int | None:
        """How many episodes succeeded."""
        known = [s for s in self.successes if s is not None]
        return sum(known) if known else None


def wilson(successes: int, episodes: int, z: float = 1.959964) -> tuple[float, float]:
    """The Wilson score interval of a success rate (Wilson 1927), 95% by default."""
    if episodes == 0:
        return 0.0, 1.0
    p = successes / episodes
    centre = (p + z * z / (2 * episodes)) / (1 + z * z / episodes)
    half = z * math.sqrt(p * (1 - p) / episodes + z * z / (4 * episodes**2)) / (1 + z * z / episodes)
    return max(0.0, centre - half), min(1.0, centre + half)


def run_episodes(
    world: World,
    policy: Policy,
    episodes: int,
    seed: int,
    views: Sequence[str] = (),
    stride: int = 1,
    on_step: OnStep | None = None,
    first: int = 0,
) -> tuple[list[Trace], list[int]]:
    """Runs the policy; the traces, and where their verdicts are in the world's sealed log.

    The same seed gives the same episodes in every world of the same task, whatever it did before. ``first``: the
    number of the first episode, for worlds whose episodes walk through tasks or stored starts.
    """
    seed = derive_seed(seed, "evaluation episodes")
    played = rollout(
        world, policy, episodes, seed, views=views, stride=stride, source="evaluation", on_step=on_step, first=first
    )
    traces = list(played)
    return traces, [int(t.meta["outcome"]) for t in traces]


def run_seeds(
    world: World, policy: Policy, episodes: int, seeds: Sequence[int], on_step: OnStep | None = None
) -> list[list[int]]:
    """Runs ``episodes`` under each seed; of each seed, where its verdicts are in the world's sealed log.

    Stored starts do not depend on a seed, so each seed goes on in them where the last one ended. Where there are too
    few, a printed line says how many episodes begin where an earlier one did.
    """
    whole = episodes * len(seeds)
    repeated = repeated_starts(world, whole)
    if repeated:
        print(
            f"{whole} evaluation episodes are more than the stored starts: {repeated} begin where an earlier one did, "
            "and the interval is too narrow by as much; lower episodes, or give fewer evaluation_seeds",
            flush=True,
        )
    return [
        run_episodes(world, policy, episodes, s, on_step=on_step, first=k * episodes)[1] for k, s in enumerate(seeds)
    ]


def judge_episodes(world: World, positions: Sequence[int]) -> Evaluation:
    """Reads the verdicts; the world's log must have been unsealed."""
    log = world.sealed.outcomes()
    return summarise([log[p] for p in positions])


def summarise(outcomes: Sequence[Outcome]) -> Evaluation:
    """Success rate, Wilson interval and mean return."""
    successes = tuple(o.success for o in outcomes)
    known = [s for s in successes if s is not None]
    rate = sum(known) / len(known) if known else None
    interval = wilson(sum(known), len(known)) if known else None
    mean = sum(o.env_return for o in outcomes) / len(outcomes) if outcomes else math.nan
    return Evaluation(len(outcomes), rate, interval, mean, successes)


def merge(parts: Sequence[Evaluation]) -> Evaluation:
    """Several evaluations of one policy as one."""
    successes = tuple(s for part in parts for s in part.successes)
    total = sum(p.env_return * p.episodes for p in parts) / max(sum(p.episodes for p in parts), 1)
    outcomes = [Outcome(s, total, 0) for s in successes]
    return summarise(outcomes)
