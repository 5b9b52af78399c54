"""What a reward model is fitted on: demonstrations, and negatives stepped or made of them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from robo_reward.contracts import LearnedRewardModel, Policy, World
from robo_reward.errors import UserError
from robo_reward.explorers import RandomPolicy, ReplayPolicy
from robo_reward.rollout import rollout
from robo_reward.seeding import derive_rng, derive_seed
from robo_reward.trace import Source, Trace

HOLLOW_NOISE = 0.05
"""Of replays whose motion is to stay that of the demonstration."""


@runtime_checkable
class AdaptableRewardModel(LearnedRewardModel, Protocol):
    """A fitted reward model that can go on training on the demonstrations of a new task, even on one.

    Its class may name ``adaptable_settings``: those of its settings that may differ from the saved model's meanwhile
    and afterwards. ``rehearse``: demonstrations of old tasks, which it goes on seeing.
    """

    def adapt(
        self,
        demonstrations: Sequence[Trace],
        negatives: Sequence[Trace],
        seed: int,
        rehearse: Sequence[Trace] = (),
    ) -> Mapping[str, float]: ...


@dataclass(frozen=True, slots=True)
class Episode:
    """A trace and where it came from: ``origin`` names the dataset or expert, ``number`` counts within it.

    ``video`` tells recordings apart whatever they are called: the same for copies of one recording, under another
    instruction too. Empty: found from the trace, as ``motion`` and ``pictures`` are then, by which others know the
    recording again who read other views of it.
    """

    trace: Trace
    origin: str
    number: int
    video: str = ""
    motion: str = ""
    pictures: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.video:
            object.__setattr__(self, "video", video_of(self.trace))
            object.__setattr__(self, "motion", motion_of(self.trace))
            object.__setattr__(self, "pictures", pictures_of(self.trace))

    def as_json(self) -> dict[str, Any]:
        """One row of ``split.json``."""
        trace = self.trace
        row = {"origin": self.origin, "number": self.number, "source": trace.source, "video": self.video}
        known = {"motion": self.motion, "pictures": dict(self.pictures)} if self.motion else {}
        return row | known | {"task": trace.task, "steps": len(trace)}


def video_of(trace: Trace) -> str:
    """16 hexadecimal digits that depend on the recorded states, actions and last pictures alone."""
    last = (trace.frames[view][-1:].tobytes() for view in sorted(trace.frames))
    return _digits(trace.state.tobytes(), trace.action.tobytes(), *last)


def motion_of(trace: Trace) -> str:
    """16 hexadecimal digits that depend on the recorded states and actions alone, whatever views were read."""
    sizes = f"{trace.state.shape} {trace.action.shape}"
    return _digits(sizes.encode(), trace.state.tobytes(), trace.action.tobytes())


def pictures_of(trace: Trace) -> dict[str, str]:
    """View -> 16 hexadecimal digits of its last picture."""
    return {view: _digits(frames[-1:].tobytes()) for view, frames in sorted(trace.frames.items())}


def _digits(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]


def step_negatives(
    world: World,
    demonstrations: Sequence[Trace],
    random: int,
    replay: int,
    seed: int,
    views: Sequence[str],
    stride: int,
    hollow: int = 0,
) -> list[Episode]:
    """Episodes of random actions and of noisily replayed demonstrations, as the main job makes them.

    ``hollow``: demonstrations replayed almost exactly from other starts. The motion is that of a success, but mostly
    the hand is empty: what tells a reward that the motion alone is worth nothing.

    Raises:
        UserError: where the demonstrations' actions do not fit the world's.
    """
    size = world.action_space.shape[0]
    for number, demonstration in enumerate(demonstrations):
        if (replay or hollow) and demonstration.action.shape[1] != size:
            raise UserError(
                f"demonstration {number} has actions of size {demonstration.action.shape[1]}, '{world.name}' takes "
                f"{size}: they cannot be replayed there; set negatives.replay=0 and hollow=0, or env=none"
            )
    rng = derive_rng(seed, "experience")
    kinds: list[tuple[Source, str, Callable[[], Policy], int]] = [
        ("random", "random", lambda: RandomPolicy(world.action_space, rng), random),
        ("replay", "replay", lambda: ReplayPolicy(demonstrations, rng), replay),
        ("replay", "hollow", lambda: ReplayPolicy(demonstrations, rng, HOLLOW_NOISE, 0.0), hollow),
    ]
    episodes = []
    for source, kind, make, count in kinds:
        policy = make()
        for number in range(count):
            start = derive_seed(seed, "world", kind, number)
            played = rollout(world, policy, 1, start, views=views, stride=stride, source=source, first=number)
            for trace in played:
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
        made.append(Episode(frozen, f"{episode.origin}, stopped", episode.number, episode.video))
    return made


def check_demonstrations(episodes: Sequence[Episode]) -> None:
    """Refuses what no reward can be learned from.

    Raises:
        UserError: that names the episode with an empty instruction, with values that are not finite, or whose states
            are of another size than the first one's.
    """
    for episode in episodes:
        trace, name = episode.trace, f"episode {episode.number} of {episode.origin}"
        if not trace.task.strip():
            raise UserError(f"{name} has an empty instruction: a reward is fitted to a task, so give it one or drop it")
        if trace.state.shape[1] != episodes[0].trace.state.shape[1]:
            sizes = f"{trace.state.shape[1]} numbers, those of {episodes[0].origin} have"
            raise UserError(f"the states of {name} have {sizes} {episodes[0].trace.state.shape[1]}: fit them apart")
        for what, values in (("states", trace.state), ("actions", trace.action)):
            wrong = ~np.isfinite(values).all(1)
            if wrong.any():
                raise UserError(f"{name} has {what} that are not finite (frame {int(wrong.argmax())}): drop or mend it")


def check_successes(episodes: Sequence[Episode]) -> None:
    """Refuses demonstrations whose success nobody saw. UserError that names the episode, the step and the way out."""
    for episode in episodes:
        _check_seen(episode.trace, f"episode {episode.number} of {episode.origin}")


def _check_seen(trace: Trace, name: str) -> None:
    success, seen = trace.success_step, trace.frame_steps[-1:]
    if success is not None and (seen < success).any():
        raise UserError(
            f"{name} succeeds at step {success}, and its last picture was taken at step {int(seen[0])}: no reward can "
            "learn what success looks like. Record it anew with hold=1 or more or with recording.every=1, or drop it "
            "(lerobot-edit-dataset)"
        )


def check_lengths(traces: Sequence[Trace], stride: int) -> None:
    """Refuses demonstrations of which a reward would see too few moments.

    Raises:
        UserError: for less than two strides, and where the last picture was taken before success.
    """
    for number, trace in enumerate(traces):
        if len(trace) < 2 * stride:
            raise UserError(
                f"demonstration {number} has {len(trace)} steps, fewer than two strides of {stride}: "
                "set reward_model.stride lower or record a longer one"
            )
        _check_seen(trace, f"demonstration {number}")


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
    """Simulator steps of an episode: as configured, else 1.5 times the longest demonstration's, within the bounds.

    None leaves it to the world: without demonstrations, and for all worlds that have a limit of their own. Those that
    have none say so: what makes them (``_target_``) has ``follows_demonstrations``.
    """
    chosen: int | None = env.get("horizon")
    if chosen is not None or not demonstrations or not _follows_demonstrations(env):
        return chosen
    needed = max((d.success_step or len(d)) * (env.get("action_repeat") or 1) for d in demonstrations)
    return max(shortest, min(longest, 50 * math.ceil(1.5 * needed / 50)))


def _follows_demonstrations(env: Any) -> bool:
    from hydra.utils import get_object

    target = env.get("_target_")
    return target is not None and bool(getattr(get_object(target), "follows_demonstrations", False))
