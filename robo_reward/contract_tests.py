"""What every reward model, transform and policy must keep to, as checks that can be run on one's own.

Each check raises AssertionError with the promise that was broken. ``episodes`` are priced at every frame they keep; use
your own, or ``moving_square``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from robo_reward.contracts import (
    Estimate,
    Flags,
    Floats,
    Observation,
    Policy,
    RewardModel,
    RewardTransform,
    Transition,
)
from robo_reward.errors import UserError
from robo_reward.estimate_check import checked
from robo_reward.trace import Source, Trace

TOLERANCE = 1e-3
"""How far two ways to the same estimate may differ: batches of another size round differently."""


def moving_square(
    seed: int, steps: int = 16, views: Sequence[str] = ("front",), size: int = 48, source: Source = "demonstration"
) -> Trace:
    """An episode, every step pictured: a bright square that crosses the picture, or wanders unless demonstrated."""
    rng = np.random.default_rng(seed)
    forward = np.linspace(0, 1, steps + 1)
    wander = np.clip(0.2 + np.cumsum(rng.normal(0, 0.05, steps + 1)), 0, 1)
    place = forward if source == "demonstration" else wander
    frames = np.full((steps + 1, size, size, 3), 60, np.uint8) + rng.integers(0, 8, 3).astype(np.uint8)
    for frame, x in zip(frames, place, strict=True):
        left = int(x * (size - 12))
        frame[size // 2 - 6 : size // 2 + 6, left : left + 12] = (230, 120, 40)
    success = place >= 0.8 if source == "demonstration" else None
    return Trace(
        task="move the square to the right",
        state=np.stack([place, rng.normal(size=steps + 1)], 1).astype(np.float32),
        action=np.diff(place)[:, None].astype(np.float32),
        frames={view: frames.copy() for view in views},
        frame_steps=np.arange(steps + 1),
        fps=10.0,
        source=source,
        success=success,
        env_reward=place[1:].astype(np.float32),
    )


# --- reward models ----------------------------------------------------------------------------------------------------


def check_estimates(model: RewardModel, episode: Trace) -> None:
    """Whole episodes: one float32 estimate per kept frame, finite, in its range, the same every time."""
    first, second = model.estimate_episode(episode), model.estimate_episode(episode)
    _check_form(first, len(episode.frame_steps))
    _check_equal(first, second, "the same episode is priced differently the second time", 0.0)


def check_steps_agree(model: RewardModel, episodes: Sequence[Trace]) -> None:
    """Causal models: stepping N episodes of one length gives what pricing each of them as a whole gives."""
    stepped = step_through(model, episodes)
    for number, episode in enumerate(episodes):
        whole = model.estimate_episode(episode)
        for frame, estimate in enumerate(stepped):
            _check_form(estimate, len(episodes))
            row, there = estimate.at(slice(number, number + 1)), whole.at(slice(frame, frame + 1))
            _check_equal(row, there, f"episode {number}, frame {frame}: per step and per episode differ")


def check_reset_isolation(model: RewardModel, steady: Trace, first: Trace, then: Trace) -> None:
    """One world's reset changes nothing for another, and leaves nothing of the old episode in the new one."""
    half = len(first) // 2
    stays = step_through(model, [steady, steady])
    fresh = step_through(model, [steady.cut(len(steady) - half), then.cut(len(steady) - half)])
    mixed = step_through(model, [steady, first], swap=(half, then))
    for step, estimate in enumerate(mixed):
        _check_equal(estimate.at(slice(0, 1)), stays[step].at(slice(0, 1)), "another world's reset changed an estimate")
    for step in range(len(fresh)):
        new, alone = mixed[half + step].at(slice(1, 2)), fresh[step].at(slice(1, 2))
        _check_equal(new, alone, "an episode's estimates depend on the episode before it")


def check_saved(model: RewardModel, loaded: RewardModel, episode: Trace) -> None:
    """A model that was written and read back prices as before."""
    there, back = model.estimate_episode(episode), loaded.estimate_episode(episode)
    _check_equal(there, back, "the loaded model prices differently", 1e-6)


def step_through(
    model: RewardModel, episodes: Sequence[Trace], swap: tuple[int, Trace] | None = None
) -> list[Estimate]:
    """Estimates (N,) at every frame of N equally long episodes, stepped side by side.

    ``swap``: (step, episode): at that step the last world has been reset and goes on with another episode; its estimate
    there is that of ``begin``.
    """
    everywhere = np.ones(len(episodes), bool)
    rows = [(episode, 0) for episode in episodes]
    seen = [model.begin(observe_frames(rows), everywhere)]
    for step in range(1, len(episodes[0]) + 1):
        before = observe_frames(rows)
        rows = [(episode, frame + 1) for episode, frame in rows]
        seen.append(model.estimate(frame_transition(before, observe_frames(rows), rows)))
        if swap is not None and step == swap[0]:
            rows[-1] = (swap[1], 0)
            fresh = np.zeros(len(rows), bool)
            fresh[-1] = True
            begun = model.begin(observe_frames(rows), fresh)
            seen[-1] = _last_of(seen[-1], begun)
    return seen


def observe_frames(rows: Sequence[tuple[Trace, int]]) -> Observation:
    """What N worlds show that are at the given frames of the given episodes."""
    views = rows[0][0].frames.keys()
    return Observation(
        {view: np.stack([episode.frames[view][frame] for episode, frame in rows]) for view in views},
        np.stack([episode.state[frame] for episode, frame in rows]),
        tuple(episode.task for episode, _ in rows),
    )


def frame_transition(before: Observation, after: Observation, rows: Sequence[tuple[Trace, int]]) -> Transition:
    """The step that led N worlds to the given frames, without an end."""
    action = np.stack([episode.action[frame - 1] for episode, frame in rows])
    no = np.zeros(len(rows), bool)
    return Transition(before, action, after, np.full(len(rows), np.nan, np.float32), no, no)


# --- transforms and policies ------------------------------------------------------------------------------------------


def check_transform(make: Callable[[], RewardTransform], seed: int = 0, worlds: int = 3, steps: int = 12) -> None:
    """Rewards (N,) float32 and finite; equal inputs give equal rewards; worlds do not leak into each other."""
    rng = np.random.default_rng(seed)
    estimates = [_random_estimate(rng, worlds) for _ in range(steps + 1)]
    reset, first = steps // 2, np.arange(worlds) == 0
    together = _transform(make(), estimates, reset, first)
    again = _transform(make(), estimates, reset, first)
    assert all(np.array_equal(a, b) for a, b in zip(together, again, strict=True)), "a transform is not deterministic"
    for world in range(worlds):
        rows = slice(world, world + 1)
        alone = _transform(make(), [e.at(rows) for e in estimates], reset, first[rows])
        for both, single in zip(together, alone, strict=True):
            assert both.shape == (worlds,), f"a transform gave rewards of shape {both.shape} for {worlds} worlds"
            assert both.dtype == np.float32, f"a transform gave {both.dtype} in place of float32"
            assert np.isfinite(both).all(), "a transform gave a reward that is not finite"
            assert np.allclose(both[world], single[0], atol=1e-6), "a world's rewards depend on the other worlds"


def check_policy(
    policy: Policy, load: Callable[[Path], Policy], space: spaces.Box, states: Floats, folder: Path
) -> None:
    """Chunks (N, K, A) float32 within bounds, deterministic; the same after saving and loading."""
    observation = Observation({}, states, ("any",) * len(states))
    policy.reset(np.ones(len(states), bool))
    acted = policy.act(observation)
    assert acted.ndim == 3, f"actions have the shape {acted.shape} in place of (N, K, A)"
    assert acted.shape[::2] == (len(states), *space.shape), f"actions have the shape {acted.shape}"
    assert acted.dtype == np.float32, f"actions are {acted.dtype} in place of float32"
    assert ((acted >= space.low) & (acted <= space.high)).all(), "an action is out of bounds"
    policy.reset(np.ones(len(states), bool))
    assert np.array_equal(policy.act(observation), acted), "the policy is not deterministic"
    policy.save(folder)
    loaded = load(folder)
    loaded.reset(np.ones(len(states), bool))
    assert np.allclose(loaded.act(observation), acted, atol=1e-6), "the loaded policy acts differently"


# --- inside -----------------------------------------------------------------------------------------------------------


def _check_form(estimate: Estimate, count: int) -> None:
    try:
        checked(estimate, count, "under test", rounding=0.0)
    except UserError as error:
        raise AssertionError(str(error)) from error
    for field in fields(estimate):
        value: Any = getattr(estimate, field.name)
        assert value is None or value.dtype == np.float32, f"{field.name} is {value.dtype} in place of float32"


def _check_equal(one: Estimate, other: Estimate, promise: str, tolerance: float = TOLERANCE) -> None:
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if a is None and b is None:
            continue
        assert a is not None, f"{promise} ({field.name} is missing)"
        assert b is not None, f"{promise} ({field.name} is missing)"
        assert np.allclose(a, b, rtol=0, atol=tolerance), f"{promise} ({field.name}: {a} and {b})"


def _last_of(old: Estimate, new: Estimate) -> Estimate:
    """``old`` with its last world's row taken from ``new``."""

    def mix(a: Any, b: Any) -> Any:
        return None if a is None else np.concatenate([a[:-1], b[-1:]])

    return Estimate(*(mix(getattr(old, f.name), getattr(new, f.name)) for f in fields(old)))


def _random_estimate(rng: np.random.Generator, worlds: int) -> Estimate:
    draw = rng.random((5, worlds)).astype(np.float32)
    return Estimate(draw[0], 2 * draw[1] - 1, draw[2], 0.1 * draw[3], 2 * draw[4] - 1)


def _transform(transform: RewardTransform, estimates: Sequence[Estimate], reset: int, ending: Flags) -> list[Floats]:
    """Rewards of all steps; the worlds ``ending`` terminate at step ``reset`` and start anew."""
    worlds = len(ending)
    transform.begin(estimates[0], np.ones(worlds, bool))
    rewards = []
    for step, estimate in enumerate(estimates[1:]):
        ended = ending & (step == reset)
        rewards.append(transform(np.zeros(worlds, np.float32), _blank(ended), estimate))
        if ended.any():
            transform.begin(estimate, ended)
    return rewards


def _blank(terminated: Flags) -> Transition:
    count = len(terminated)
    nothing = Observation({}, np.zeros((count, 1), np.float32), ("any",) * count)
    zeros = np.zeros(count, np.float32)
    return Transition(nothing, zeros[:, None], nothing, zeros, terminated, np.zeros(count, bool))
