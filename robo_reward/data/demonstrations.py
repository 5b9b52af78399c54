"""Demonstrations from a world's scripted expert, or whoever else acts: episodes that end after success."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from robo_reward.contracts import Floats, World
from robo_reward.data.recording import Film, Pusher, Recording, places_of, points_of, stacked_points
from robo_reward.errors import UserError, no_expert, unknown_name
from robo_reward.seeding import derive_rng, derive_seed
from robo_reward.trace import Trace
from robo_reward.walking import begin_at, number_of_tasks


class Demonstrator(Protocol):
    """Who demonstrates in one world."""

    def begin(self) -> None:
        """Told before every attempt: nothing of the last one holds any more."""
        ...

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

    def begin(self) -> None:
        """Nothing: the expert reads the world alone."""

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
    recording: Recording | None = None,
    on_episode: OnEpisode | None = None,
) -> tuple[list[Trace], int]:
    """``count`` successful episodes of each task, the tasks in turn, and how many failed attempts were dropped.

    An episode ends ``hold`` decisions after its first success, or one step before the world would reset
    itself. ``views``: cameras to keep (None: all; (): none). ``noise``: standard deviation of Gaussian noise
    on the actions, as a share of half their range; the executed action is what is recorded. The same seed
    gives the same demonstrations. ``demonstrator`` None is the scripted expert. ``recording`` None: every picture, and
    nobody pushes.

    Raises:
        UserError: ``count``, ``hold``, ``noise`` or ``recording`` out of range, an unknown view, more than one world,
            no expert, or fewer than ``count`` successes in 5 x ``count`` attempts at a task.
    """
    if demonstrator is None and not getattr(world, "has_expert", True):
        raise no_expert(world.name)
    chosen, recording = _check(world, count, hold, noise, views), recording or Recording()
    recording.check(world)
    who, tasks = demonstrator or ScriptedExpert(), number_of_tasks(world)
    traces: list[Trace] = []
    tried = [0] * tasks
    while len(traces) < count * tasks:
        task, attempt = len(traces) % tasks, sum(tried)
        if tried[task] >= ATTEMPTS * count:
            raise UserError(
                f"only {len(traces) // tasks} of {tried[task]} attempts at {_named(world, task)} succeeded within "
                f"{world.horizon} decisions, demos={count} were asked for; "
                "allow a longer horizon, less noise, or ask for fewer"
            )
        begin_at(world, task + tasks * tried[task])
        tried[task] += 1
        disturb = _Disturbance(world, noise, recording, derive_rng(seed, "demonstration noise", attempt))
        trace = _attempt(world, who, derive_seed(seed, "demonstration", attempt), hold, chosen, disturb)
        if trace is not None:
            traces.append(trace)
        if on_episode is not None:
            on_episode(trace)
    return traces, sum(tried) - len(traces)


def of_each_task(tasks: Sequence[str], count: int | None) -> list[int]:
    """The places of the first ``count`` of each instruction, in order; all with None."""
    seen: dict[str, int] = {}
    chosen = []
    for place, task in enumerate(tasks):
        seen[task] = seen.get(task, 0) + 1
        if count is None or seen[task] <= count:
            chosen.append(place)
    return chosen


def _named(world: World, task: int) -> str:
    names = getattr(world, "tasks", ())
    return f"'{names[task]}' of '{world.name}'" if len(names) > 1 else f"'{world.name}'"


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
    disturb: _Disturbance,
) -> Trace | None:
    observation = world.reset(seed)
    who.begin()
    states, actions, env_rewards = [observation.state[0].copy()], list[Floats](), list[float]()
    success, film = [who.succeeded(world)], Film(views, disturb.recording.every)
    film.look(0, observation.views)
    places = [places_of(world, disturb.recording)]
    points = [points_of(world, places[0], views)]
    left = hold
    while left > 0 or not any(success):
        action, executed = disturb(who.act(world))
        transition = world.step(executed)
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
        # what success looks like must be seen
        film.look(len(actions), transition.after.views, now=success[-1] and not any(success[:-1]))
        places.append(places_of(world, disturb.recording))
        points.append(points_of(world, places[-1], views))
    if not any(success) or not actions:
        return None
    frames, frame_steps = film.developed()
    known = [place for place in places if place is not None]
    return Trace(
        task=observation.task[0],
        state=np.stack(states),
        action=np.stack(actions),
        frames=frames,
        frame_steps=frame_steps,
        fps=world.fps,
        source="demonstration",
        success=np.asarray(success),
        # NaN where the world keeps its reward to itself, as it does unless an oracle was asked for
        env_reward=None if np.isnan(env_rewards).any() else np.asarray(env_rewards, np.float32),
        places=np.stack(known) if known else None,
        points=stacked_points(points),
    )


class _Disturbance:
    """What comes between the demonstrator and the world in one episode."""

    def __init__(self, world: World, noise: float, recording: Recording, rng: np.random.Generator) -> None:
        self.recording = recording
        self._low, self._high = world.action_space.low, world.action_space.high
        self._noise, self._rng = noise, rng
        self._push = Pusher(world, recording.pushes, rng)

    def __call__(self, action: Floats) -> tuple[Floats, Floats]:
        """The action (1, A) that is recorded, and the one that is executed."""
        if self._noise > 0:
            spread = self._noise * 0.5 * (self._high - self._low)
            action = (action + spread * self._rng.standard_normal(action.shape)).astype(np.float32)
        recorded = np.asarray(np.clip(action, self._low, self._high), np.float32)
        return recorded, self._push(recorded)
