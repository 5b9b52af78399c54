"""The episodes of an audit: held-out successes, near misses, perturbed and random ones, with what really happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from robo_reward.contracts import Floats, Observation, Transition, World
from robo_reward.errors import UserError
from robo_reward.explorers import RandomPolicy
from robo_reward.reward_models.audit.moved_object import held, put_back, scene_pose
from robo_reward.reward_models.audit.probes import stopped
from robo_reward.reward_models.audit.true_way import share_of_way, ways
from robo_reward.seeding import derive_rng, derive_seed
from robo_reward.trace import Trace

Kind = Literal["success", "near_miss", "failure", "random", "perturbed"]
Actor = Callable[[Observation, int], Floats]
"""The observation and the number of the decision -> action (1, A)."""
MIXES = {"expert": 0.0, "expert_70": 0.3, "expert_40": 0.6, "random": 1.0}
"""Policies of known quality: the share of random actions that is blended into the expert's."""
TAKEN_STEPS = 6
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class AuditEpisode:
    """``succeeded``: what the simulator or the dataset says. ``progress``: the true final one in [0, 1], NaN: unknown.

    ``policy``: which of the policies of known quality acted, empty for none. ``stopped``: the share of the time to
    success at which a near miss stops, NaN for all others.
    """

    trace: Trace
    kind: Kind
    succeeded: bool
    progress: float = float("nan")
    policy: str = ""
    stopped: float = float("nan")


@dataclass(slots=True)
class AuditEpisodes:
    """``taken``: (episode, step from which on the objects are back at the start). ``notes``: what could not be had."""

    episodes: list[AuditEpisode] = field(default_factory=list)
    taken: list[tuple[Trace, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, *kinds: Kind) -> list[AuditEpisode]:
        """The episodes of these kinds."""
        return [e for e in self.episodes if e.kind in kinds]

    @property
    def successes(self) -> list[Trace]:
        """What probes and order are measured on."""
        return [e.trace for e in self.of("success")]

    @property
    def end_at_success(self) -> bool:
        """Whether more than a tenth of the successes do not go on: LeRobot ends episodes there, and records no state
        after the last action.
        """
        annotated = [trace.success for trace in self.successes]
        return bool(np.mean([success is not None and int(success.sum()) == 1 for success in annotated]) > 0.1)


def play(
    world: World,
    actor: Actor,
    seed: int,
    views: Sequence[str],
    stride: int,
    hold: int | None = None,
    after: Callable[[], None] | None = None,
) -> tuple[Trace, bool]:
    """One episode of a single world, annotated, and whether it succeeded at any step.

    It ends with the world's episode, or ``hold`` steps after success; then, once ``after`` was called, it goes on for
    ``TAKEN_STEPS`` priced frames of a robot that is held where it is.
    """
    world.keep_final(views)
    now = world.reset(seed)
    record = _Record(views, stride, now, bool(world.annotated_success()[0]))
    ended, waiting = False, hold
    while not ended and waiting != 0:
        action = actor(now, len(record.actions))
        mark = world.sealed.mark()
        transition = world.step(action)
        ended = bool(transition.done[0])
        success = _ended_in_success(world, mark, record) if ended else bool(world.annotated_success()[0])
        record.add(transition, success)
        if waiting is not None and any(record.success):
            waiting -= 1
        now = transition.after if ended else world.observe()
    if after is not None and not ended:
        record.taken = len(record.actions)
        after()
        _stays(world, record, TAKEN_STEPS * stride)
    return record.trace(world.fps), any(record.success)


def _stays(world: World, record: _Record, steps: int) -> None:
    """Some decisions more of a robot that is held where it is."""
    action = np.zeros((1, *world.action_space.shape), np.float32)
    with held(world):
        for _ in range(steps):
            transition = world.step(action)
            if transition.done[0]:
                return
            record.add(transition, bool(world.annotated_success()[0]))


def collect(
    world: World, count: int, seed: int, views: Sequence[str], stride: int, hold: int = 8, taken: int = 3
) -> AuditEpisodes:
    """``count`` episodes by the expert and by every blend of it with random actions, and near misses of the expert's.

    Raises:
        UserError: without an expert, or if it succeeds in fewer than ``count`` of 5 x ``count`` episodes.
    """
    if not getattr(world, "has_expert", True):
        raise UserError(f"'{world.name}' has no scripted expert: give held-out episodes with data=DATASET")
    found, world_seed = AuditEpisodes(), derive_seed(seed, "audit episodes")
    for attempt in range(ATTEMPTS * count):
        trace, won = play(world, _expert(world), derive_seed(world_seed, "expert", attempt), views, stride, hold)
        if won:
            found.episodes.append(AuditEpisode(replace(trace, source="demonstration"), "success", True, 1.0))
        if len(found.episodes) == count:
            break
    else:
        raise UserError(
            f"the expert of '{world.name}' succeeded in only {len(found.episodes)} of {attempt + 1} episodes"
        )
    for name, share in MIXES.items():
        for number in range(count):
            rng = derive_rng(seed, "blend", name, number)
            actor = _blend(world, share, rng)
            trace, won = play(world, actor, derive_seed(world_seed, name, number), views, stride)
            kind: Kind = "random" if share == 1 else "perturbed"
            truth = 1.0 if won else float("nan")
            found.episodes.append(AuditEpisode(replace(trace, source="evaluation"), kind, won, truth, name))
    _rate_random(found)
    found.episodes += near_misses(found.successes, seed)
    _take_objects(world, found, taken, world_seed, views, stride, hold)
    return found


def _rate_random(found: AuditEpisodes) -> None:
    """Random failures end as far as the simulator's reward says, which may be far: a start can lie near the goal."""
    lost = [n for n, e in enumerate(found.episodes) if e.kind == "random" and not e.succeeded]
    true = ways([found.episodes[n].trace for n in lost], found.successes)
    for number, way in zip(lost, true, strict=True):
        found.episodes[number] = replace(found.episodes[number], progress=way)


def sort_recorded(traces: Sequence[Trace], stride: int, seed: int) -> AuditEpisodes:
    """Recorded episodes as an audit needs them: those with an annotated success are successes, the rest failures.

    Raises:
        UserError: if none of them is a success.
    """
    found = AuditEpisodes(notes=["recorded episodes only: no simulator's reward, no policies of known quality"])
    for trace in traces:
        won = trace.success_step is not None
        thin = trace.every(stride)
        found.episodes.append(AuditEpisode(thin, "success" if won else "failure", won, 1.0 if won else float("nan")))
    if not found.successes:
        raise UserError(f"none of the {len(traces)} recorded episodes is a success (next.success): nothing to audit on")
    found.episodes += near_misses(found.successes, seed)
    return found


def near_misses(successes: Sequence[Trace], seed: int) -> list[AuditEpisode]:
    """One of each success: the robot stops at 50 to 95% of the time that success took, and stays."""
    rng = derive_rng(seed, "near misses")
    shares = [float(rng.uniform(0.5, 0.95)) for _ in successes]
    pairs = zip(successes, shares, strict=True)
    return [
        AuditEpisode(stopped(trace, share), "near_miss", False, share_of_way(trace, share), stopped=share)
        for trace, share in pairs
    ]


class _Record:
    """Collects one episode."""

    def __init__(self, views: Sequence[str], stride: int, first: Observation, success: bool) -> None:
        self._stride, self._task = stride, first.task[0]
        self._states, self._steps = [first.state[0].copy()], [0]
        self._frames = {view: [np.array(first.views[view][0])] for view in views}
        self._rewards: list[float] = []
        self.actions: list[Floats] = []
        self.success = [success]
        self.taken = 0
        """The step from which on the objects are back at the start; 0: never."""

    def add(self, transition: Transition, success: bool) -> None:
        self._states.append(transition.after.state[0].copy())
        self.actions.append(transition.action[0].copy())
        self._rewards.append(float(transition.env_reward[0]))
        self.success.append(success)
        if len(self.actions) % self._stride == 0:
            self._steps.append(len(self.actions))
            for view, frames in self._frames.items():
                frames.append(np.array(transition.after.views[view][0]))

    def trace(self, fps: float) -> Trace:
        rewards = np.asarray(self._rewards, np.float32)
        return Trace(
            task=self._task,
            state=np.stack(self._states),
            action=np.stack(self.actions),
            frames={view: np.stack(frames) for view, frames in self._frames.items()},
            frame_steps=np.asarray(self._steps, np.int64),
            fps=fps,
            source="evaluation",
            success=np.asarray(self.success),
            env_reward=None if np.isnan(rewards).any() else rewards,
            meta={"taken": self.taken},
        )


def _ended_in_success(world: World, mark: int, record: _Record) -> bool:
    """A world that is done has reset itself: its log tells a first success in the last step; else nothing changed."""
    world.sealed.unseal()  # an audit learns nothing
    return record.success[-1] if any(record.success) else bool(world.sealed.outcomes()[mark].success)


def _expert(world: World) -> Actor:
    return lambda observation, step: world.expert_action()


def _blend(world: World, share: float, rng: np.random.Generator) -> Actor:
    space = world.action_space
    random = RandomPolicy(space, rng)

    def act(observation: Observation, step: int) -> Floats:
        drawn = random.act(observation)[:, 0]
        blended = (1 - share) * world.expert_action() + share * drawn if share < 1 else drawn
        return np.clip(blended, space.low, space.high).astype(np.float32)

    return act


def _take_objects(
    world: World, found: AuditEpisodes, count: int, seed: int, views: Sequence[str], stride: int, hold: int
) -> None:
    """Successes after which the objects are put back; none where the task has no object to put back."""
    for number in range(count):
        start = derive_seed(seed, "taken", number)
        world.reset(start)
        pose = scene_pose(world)
        if pose is None:
            found.notes.append(f"'{world.name}' cannot move its objects without its robot")
            return

        def take(pose: object = pose) -> None:
            put_back(world, pose)

        trace, won = play(world, _expert(world), start, views, stride, hold, take)
        step = int(trace.meta["taken"])
        if won and step > 0 and trace.success is not None and not trace.success[-1]:
            found.taken.append((trace, step))
    if not found.taken:
        found.notes.append(f"'{world.name}' still counts as done with its objects put back: no object to watch")
