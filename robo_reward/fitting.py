"""What a reward model is fitted on: demonstrations, negatives stepped or made of them, and what is held out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from robo_reward.contracts import Policy, World
from robo_reward.errors import UserError
from robo_reward.explorers import RandomPolicy, ReplayPolicy
from robo_reward.rollout import rollout
from robo_reward.seeding import derive_rng, derive_seed
from robo_reward.trace import Source, Trace


@dataclass(frozen=True, slots=True)
class Episode:
    """A trace and where it came from: ``origin`` names the dataset or expert, ``number`` counts within it."""

    trace: Trace
    origin: str
    number: int

    def as_json(self) -> dict[str, Any]:
        """One row of ``split.json``."""
        trace = self.trace
        row = {"origin": self.origin, "number": self.number, "source": trace.source}
        return row | {"task": trace.task, "steps": len(trace)}


@dataclass(frozen=True, slots=True)
class Split:
    """Episodes that are fitted on, and episodes that only the audit sees; no episode is in both."""

    fitted: list[Episode]
    held_out: list[Episode]

    def as_json(self) -> dict[str, Any]:
        """What is stored beside the model."""
        return {"fitted": [e.as_json() for e in self.fitted], "held_out": [e.as_json() for e in self.held_out]}

    def audited(self) -> list[Trace]:
        """The held-out traces, or the fitted ones where there are too few to hold any out."""
        return [e.trace for e in self.held_out or self.fitted]


def split(episodes: Sequence[Episode], share: float, rng: np.random.Generator) -> Split:
    """Holds out ``share`` of the episodes, drawn at random; none of fewer than ``1 / share``.

    Raises:
        UserError: for a share outside [0, 1).
    """
    if not 0 <= share < 1:
        raise UserError(f"held_out={share} must be at least 0 and below 1: it is a share of the episodes")
    chosen = set(rng.permutation(len(episodes))[: math.floor(share * len(episodes))].tolist())
    kept = [episode for k, episode in enumerate(episodes) if k not in chosen]
    return Split(kept, [episode for k, episode in enumerate(episodes) if k in chosen])


def step_negatives(
    world: World,
    demonstrations: Sequence[Trace],
    random: int,
    replay: int,
    seed: int,
    views: Sequence[str],
    stride: int,
) -> list[Episode]:
    """Episodes of random actions and of noisily replayed demonstrations, as the main job makes them.

    Raises:
        UserError: where the demonstrations' actions do not fit the world's.
    """
    size = world.action_space.shape[0]
    for number, demonstration in enumerate(demonstrations):
        if replay and demonstration.action.shape[1] != size:
            raise UserError(
                f"demonstration {number} has actions of size {demonstration.action.shape[1]}, '{world.name}' takes "
                f"{size}: they cannot be replayed there; set negatives.replay=0, or env=none"
            )
    rng = derive_rng(seed, "experience")
    explorers: list[tuple[Source, Callable[[], Policy], int]] = [
        ("random", lambda: RandomPolicy(world.action_space, rng), random),
        ("replay", lambda: ReplayPolicy(demonstrations, rng), replay),
    ]
    episodes = []
    for source, make, count in explorers:
        policy = make()
        for number in range(count):
            start = derive_seed(seed, "world", source, number)
            for trace in rollout(world, policy, 1, start, views=views, stride=stride, source=source):
                episodes.append(Episode(trace, world.name, number))
    return episodes


def stopped_copies(demonstrations: Sequence[Episode], count: int, rng: np.random.Generator) -> list[Episode]:
    """Copies of demonstrations that freeze somewhere before success: failures that need no simulator.

    Their kind is ``replay``: a failure whose progress is not known frame by frame.
    """
    made = []
    for k in range(count if demonstrations else 0):
        episode = demonstrations[k % len(demonstrations)]
        trace = episode.trace
        before = trace.frame_steps < (trace.success_step or len(trace))
        # not in the last tenth before success, where a frame hardly differs from a success
        last = max(1, int(0.9 * before.sum()))
        stop = int(rng.integers(0, last))
        index = np.minimum(np.arange(len(trace.frame_steps)), stop)
        steps = np.minimum(np.arange(len(trace.state)), trace.frame_steps[stop])
        frozen = replace(
            trace,
            state=trace.state[steps],
            action=np.where(np.arange(len(trace))[:, None] < trace.frame_steps[stop], trace.action, 0),
            frames={view: frames[index] for view, frames in trace.frames.items()},
            source="replay",
            success=None,
            estimate=None,
            reward=None,
        )
        made.append(Episode(frozen, f"{episode.origin}, stopped", episode.number))
    return made


def check_pictures(episodes: Sequence[Episode], views: Sequence[str]) -> None:
    """Refuses pictures of different sizes.

    Raises:
        UserError: that names two origins and their sizes.
    """
    seen: dict[tuple[int, ...], str] = {}
    for episode in episodes:
        for view in views:
            shape = episode.trace.frames[view].shape[1:3]
            seen.setdefault(shape, f"{view} of {episode.origin}")
    if len(seen) > 1:
        listed = ", ".join(f"{height}x{width} ({name})" for (height, width), name in seen.items())
        raise UserError(f"one reward model reads pictures of one size, got {listed}: set env.height and env.width")


def episode_horizon(env: Any, demonstrations: Sequence[Trace], shortest: int = 150, longest: int = 500) -> int | None:
    """Simulator steps of an episode: as configured, else 1.5 times the longest demonstration's, within the bounds."""
    chosen: int | None = env.get("horizon")
    if chosen is not None or not demonstrations or "action_repeat" not in env:
        return chosen
    needed = max((d.success_step or len(d)) * (env.action_repeat or 1) for d in demonstrations)
    return max(shortest, min(longest, 50 * math.ceil(1.5 * needed / 50)))
