"""Demonstrations from a world's scripted expert, or whoever else acts: episodes that end after success."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from robo_reward.contracts import Floats, Frames, World
from robo_reward.errors import UserError, unknown_name
from robo_reward.seeding import derive_rng, derive_seed
from robo_reward.trace import Trace


class Demonstrator(Protocol):
    """Who demonstrates in one world."""

    def act(self, world: World) -> Floats:
        """The next action (1, A)."""
        ...

    def succeeded(self, world: World) -> bool:
        """Whether the world's present state counts as success."""
        ...

    def gave_up(self) -> bool:
        """Whether the attempt is to be dropped; asked after every action."""
        ...


OnEpisode = Callable[[Trace | None], None]
"""Told of every attempt: the demonstration, or None where it failed and was dropped."""

ATTEMPTS = 5


class ScriptedExpert:
    """The task's scripted expert; the world annotates success."""

    def act(self, world: World) -> Floats:
        """The next action (1, A). UserError where the task has no expert."""
        return world.expert_action()

    def succeeded(self, world: World) -> bool:
        """The world's own success test. UserError where the task has none."""
        return bool(world.annotated_success()[0])

    def gave_up(self) -> bool:
        """Never."""
        return False


def collect_demonstrations(
    world: World,
    count: int,
    seed: int,
    hold: int = 8,
    views: Sequence[str] | None = None,
    *,
    demonstrator: Demonstrator | None = None,
    noise: float = 0.0,
    on_episode: OnEpisode | None = None,
) -> tuple[list[Trace], int]:
    """``count`` successful episodes with pictures at every step, and how many failed attempts were dropped.

    An episode ends ``hold`` decisions after its first success, or one step before the world would reset
    itself. ``views``: cameras to keep (None: all; (): none). ``noise``: standard deviation of Gaussian noise
    on the actions, as a share of half their range; the executed action is what is recorded. The same seed
    gives the same demonstrations. ``demonstrator`` None is the scripted expert.

    Raises:
        UserError: ``count``, ``hold`` or ``noise`` out of range, an unknown view, more than one world, no
            expert, or fewer than ``count`` successes in 5 x ``count`` attempts.
    """
    chosen = _check(world, count, hold, noise, views)
    who = demonstrator or ScriptedExpert()
    traces: list[Trace] = []
    for attempt in range(ATTEMPTS * count):
        rng = derive_rng(seed, "demonstration noise", attempt)
        trace = _attempt(world, who, derive_seed(seed, "demonstration", attempt), hold, chosen, noise, rng)
        if trace is not None:
            traces.append(trace)
        if on_episode is not None:
            on_episode(trace)
        if len(traces) == count:
            return traces, attempt + 1 - count
    raise UserError(
        f"only {len(traces)} of {ATTEMPTS * count} attempts at '{world.name}' succeeded within "
        f"{world.horizon} decisions, demos={count} were asked for; "
        "allow a longer horizon, less noise, or ask for fewer"
    )


def _check(world: World, count: int, hold: int, noise: float, views: Sequence[str] | None) -> tuple[str, ...]:
    if count < 1:
        raise UserError(f"demos={count} must be 1 or more")
    if hold < 0:
        raise UserError(f"hold={hold} must be 0 or more")
    if not 0 <= noise <= 1:
        raise UserError(f"noise={noise} must be within 0 and 1 (a share of half the action range)")
    if world.num_worlds != 1:
        raise UserError(f"demonstrations are collected in one world, not in {world.num_worlds}")
    for view in views or ():
        if view not in world.view_names:
            raise unknown_name("view", view, world.view_names)
    return world.view_names if views is None else tuple(views)


def _attempt(
    world: World,
    who: Demonstrator,
    seed: int,
    hold: int,
    views: Sequence[str],
    noise: float,
    rng: np.random.Generator,
) -> Trace | None:
    observation = world.reset(seed)
    states, actions, env_rewards = [observation.state[0].copy()], list[Floats](), list[float]()
    success = [who.succeeded(world)]
    frames = {view: [_picture(observation.views[view])] for view in views}
    left = hold
    while left > 0 or not any(success):
        action = _noisy(world, who.act(world), noise, rng)
        transition = world.step(action)
        if who.gave_up():
            return None
        # A world that is done has reset itself: whether its last state was a success can no longer be asked.
        if transition.done[0]:
            break
        states.append(transition.after.state[0].copy())
        actions.append(action[0])
        env_rewards.append(float(transition.env_reward[0]))
        left -= int(any(success))
        success.append(who.succeeded(world))
        for view in views:
            frames[view].append(_picture(transition.after.views[view]))
    if not any(success) or not actions:
        return None
    return Trace(
        task=observation.task[0],
        state=np.stack(states),
        action=np.stack(actions),
        frames={view: np.stack(shown) for view, shown in frames.items()},
        frame_steps=np.arange(len(states)),
        fps=world.fps,
        source="demonstration",
        success=np.asarray(success),
        # NaN where the world keeps its reward to itself, as it does unless an oracle was asked for
        env_reward=None if np.isnan(env_rewards).any() else np.asarray(env_rewards, np.float32),
    )


def _picture(frames: Frames) -> Frames:
    return np.array(frames[0], np.uint8)


def _noisy(world: World, action: Floats, noise: float, rng: np.random.Generator) -> Floats:
    low, high = world.action_space.low, world.action_space.high
    if noise > 0:
        action = (action + noise * 0.5 * (high - low) * rng.standard_normal(action.shape)).astype(np.float32)
    return np.asarray(np.clip(action, low, high), np.float32)
