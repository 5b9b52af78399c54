"""The words that all parts share: what worlds show, what rewards say, and the protocols where wings meet.

A batch of N worlds comes first, always. Names follow LeRobot's keys at every border
(``observation.images.<view>``, ``observation.state``, ``action``, ``task``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from robo_reward.errors import UserError
from robo_reward.sealed_log import SealedLog
from robo_reward.trace import Trace

Frames = NDArray[np.uint8]
Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]
Oracle = Literal["none", "reward", "success"]


@dataclass(frozen=True, slots=True)
class Observation:
    """What N worlds show at one instant.

    ``views``: camera name -> (N, H, W, 3) uint8, lazy: rendered when read, once, and only until the world steps again.
    ``state``: (N, S) float32. ``task``: N instructions.
    """

    views: Mapping[str, Frames]
    state: Floats
    task: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Transition:
    """One step of N worlds. ``after`` is the last frame of an episode that ended, never the reset frame.

    ``action`` (N, A) float32; ``env_reward`` (N,) float32, NaN unless an oracle reward was asked for;
    ``terminated``, ``truncated`` (N,) bool.
    """

    before: Observation
    action: Floats
    after: Observation
    env_reward: Floats
    terminated: Flags
    truncated: Flags

    @property
    def done(self) -> Flags:
        """(N,) True where the episode ended, either way."""
        return self.terminated | self.truncated


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a reward model says, each (N,) float32.

    ``progress`` in [0, 1]; ``gain`` in [-1, 1]: the signed hop from the previous priced frame, or of models that say
    ``gives_hops = False`` the plain difference of progress; transforms always see hops (``gains.with_hops``), reports
    what was given. ``success`` probability in [0, 1]; ``uncertainty`` >= 0 in units of progress. ``match`` in [-1, 1]:
    how well the frame fits the demonstrations as part of its episode, 0 a random one; None where models do not match.
    """

    progress: Floats
    gain: Floats
    success: Floats
    uncertainty: Floats
    match: Floats | None = None

    def at(self, index: Any) -> Estimate:
        """The rows that ``index`` selects."""
        match = None if self.match is None else self.match[index]
        return Estimate(self.progress[index], self.gain[index], self.success[index], self.uncertainty[index], match)


@dataclass(frozen=True, slots=True)
class Step:
    """A priced transition: ``reward`` (N,) float32 is what the learner sees."""

    transition: Transition
    estimate: Estimate
    reward: Floats


@dataclass(frozen=True, slots=True)
class Needs:
    """What a reward model must be given.

    ``views``: the cameras it reads (empty: none). ``stride``: it looks at every stride-th step. ``episode``: it can
    price whole episodes only. ``oracle``: which of the simulator's own signals it uses, if any.
    """

    views: tuple[str, ...] = ()
    stride: int = 1
    episode: bool = False
    oracle: Oracle = "none"

    def __post_init__(self) -> None:
        """UserError for a stride that is no whole number of steps."""
        if isinstance(self.stride, bool) or not isinstance(self.stride, int | np.integer) or self.stride < 1:
            raise UserError(f"stride={self.stride} must be a whole number of steps, 1 or more")


@dataclass(frozen=True, slots=True)
class Landmarks:
    """Where a world's state vector tells positions: the first index of x, y, z of each, and the scale.

    ``scale``: state units per metre. ``follows``: first indices of differences that change with the hand, and by how
    many state units per metre (signed), so that a state can be rewritten for a hand that is somewhere else.
    """

    hand: int
    object: int
    goal: int
    scale: float = 1.0
    follows: tuple[tuple[int, float], ...] = ()

    def of(self, state: Floats, name: Literal["hand", "object", "goal"]) -> NDArray[np.float64]:
        """The position (..., 3) in metres from states (..., S)."""
        first: int = getattr(self, name)
        return state[..., first : first + 3].astype(np.float64) / self.scale

    def shift_hand(self, state: Floats, shift: NDArray[np.float64]) -> Floats:
        """The states (..., S) with the hand displaced by ``shift`` (..., 3) metres and all else where it was."""
        moved = state.copy()
        for first, scale in ((self.hand, self.scale), *self.follows):
            moved[..., first : first + 3] += (scale * shift).astype(np.float32)
        return moved


@runtime_checkable
class World(Protocol):
    """N copies of a task. ``step`` resets ended episodes itself; ``observe`` shows what the worlds show now."""

    num_worlds: int
    view_names: tuple[str, ...]
    action_space: spaces.Box
    state_size: int
    horizon: int
    """Decisions in an episode before it is truncated."""
    fps: float
    """Decisions per second of simulated time."""
    name: str
    landmarks: Landmarks | None
    """Where the state tells positions; None for tasks whose state has no such meaning."""
    sealed: SealedLog
    frames_rendered: int
    render_seconds: float
    nan_resets: int

    def reset(self, seed: int) -> Observation:
        """Starts an episode in every world; the same seed gives the same episodes."""
        ...

    def step(self, action: Floats) -> Transition:
        """Applies (N, A) actions. Frames of the previous observation can no longer be read afterwards."""
        ...

    def observe(self) -> Observation:
        """What the worlds show now: after an episode's end, the first frame of the next one."""
        ...

    def keep_final(self, views: Sequence[str]) -> None:
        """Names the views whose last frame of an episode is rendered before the world resets itself."""
        ...

    def expert_action(self) -> Floats:
        """What the task's scripted expert would do now, (N, A). UserError where the task has none."""
        ...

    def annotated_success(self) -> Flags:
        """(N,) success of the current states; for annotating demonstrations, never for learning."""
        ...

    def snapshot(self) -> list[Any]: ...

    def restore(self, snapshot: list[Any]) -> Observation: ...

    def close(self) -> None: ...


@runtime_checkable
class RewardModel(Protocol):
    """Prices observations. Per step through ``begin`` and ``estimate``, or a whole episode at once."""

    needs: Needs

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """Episodes where ``fresh`` (N,) is True start anew with ``first``; the others keep their history."""
        ...

    def estimate(self, transition: Transition) -> Estimate: ...

    def estimate_episode(self, trace: Trace) -> Estimate:
        """Estimates (F,) at the F frames that the trace kept (``trace.frame_steps``)."""
        ...


@runtime_checkable
class LearnedRewardModel(RewardModel, Protocol):
    """A reward model that is trained here and can be refitted against the policy that it trains."""

    def fit(
        self, demonstrations: Sequence[Trace], negatives: Sequence[Trace], seed: int, own: Sequence[Trace] = ()
    ) -> Mapping[str, float]: ...

    def refit(self, episodes: Sequence[Trace], seed: int) -> Mapping[str, float]: ...

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...


@runtime_checkable
class GroupRewardModel(RewardModel, Protocol):
    """A reward model that prices the episodes of one group by each other, as group-relative learners want them."""

    def estimate_group(self, traces: Sequence[Trace], success: Flags | None = None) -> Floats:
        """Rewards (G,) float32 in [0, 1] of G whole episodes.

        ``success`` (G,): who succeeded; None asks the model's own detector, so that no simulator is needed.
        """
        ...


class RewardTransform(Protocol):
    """One small pure piece between estimate and reward; transforms run in the order that the yaml gives."""

    base_reward: str | None
    """The objective that this transform adds, None for pure shaping."""

    def begin(self, first: Estimate, fresh: Flags) -> None: ...

    def __call__(self, reward: Floats, transition: Transition, estimate: Estimate) -> Floats: ...


class Policy(Protocol):
    """Acts on observations; the same object is trained, evaluated, adapted and deployed."""

    def act(self, observation: Observation) -> Floats:
        """An action chunk (N, K, A) float32 within the action bounds; K = 1 for step-wise policies."""
        ...

    def reset(self, fresh: Flags) -> None:
        """Forgets what belongs to episodes that ended (chunks, history)."""
        ...

    def save(self, folder: Path) -> None: ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """A hook's answer to a step."""

    stop: bool = False
    reason: str = ""


class Hook(Protocol):
    """Watches a run: recorder, progress bar, alarm against reward hacking."""

    def on_step(self, step: Step) -> Verdict: ...

    def on_episode(self, trace: Trace) -> None: ...

    def on_update(self, metrics: Mapping[str, float]) -> None: ...


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a learner may use; whichever ends first."""

    rollouts: int | None = None
    steps: int | None = None

    def spent(self, rollouts: int, steps: int) -> bool:
        """True once either bound is reached."""
        return (self.rollouts is not None and rollouts >= self.rollouts) or (
            self.steps is not None and steps >= self.steps
        )


@dataclass(slots=True)
class Tally:
    """What a run has used so far; it ends up in ``summary.json``."""

    rollouts: int = 0
    env_steps: int = 0
    updates: int = 0
    pricing_seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    """What the reward model had counted before a resume (``answer_counts.py``)."""
