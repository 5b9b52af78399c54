"""How demonstrations are recorded: pushes that the expert has to make good, pictures now and then, where things are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Floats, Frames, World
from robo_reward.errors import UserError

SHORTEST, LONGEST = 2, 8
"""Decisions that a push lasts."""
TREMBLE = 0.2
"""What is added to every action beside pushes, as a share of their deviation."""
EVEN = 0.2
"""Deviation of pushes in worlds that name none, as a share of half the action range."""


@dataclass(frozen=True, slots=True)
class Recording:
    """``pushes``: probability a decision that a push begins, in [0, 1]; ``every``: decisions from picture to picture.

    With pushes the expert's own action is recorded, not what was executed, so that a policy learns to come back (DART,
    Laskey et al. 2017). ``places``: record where things are, in worlds that know.
    """

    pushes: float = 0.0
    every: int = 1
    places: bool = False

    def check(self, world: World) -> None:
        """Raises UserError for numbers out of range, and for ``places`` of a world that does not know them."""
        if not 0 <= self.pushes <= 1:
            raise UserError(f"recording.pushes={self.pushes} must be within 0 and 1 (a probability at each decision)")
        if self.every < 1:
            raise UserError(f"recording.every={self.every} must be 1 or more decisions")
        if self.places and not isinstance(world, KnowsPlaces):
            raise UserError(f"'{world.name}' does not tell where things are: set recording.places=false")


def check_moments(moments: int, apart: int) -> None:
    """Refuses pictures ``apart`` steps from each other for a policy that looks at several consecutive ``moments``.

    Raises:
        UserError: it would learn from other moments than it is shown when it acts.
    """
    if moments > 1 and apart > 1:
        raise UserError(
            f"the policy looks at {moments} consecutive steps, but pictures lie up to {apart} steps apart: record "
            "every step (recording.every=1), or train one that looks at the present alone (nano_vla, act, smolvla)"
        )


@runtime_checkable
class KnowsPlaces(Protocol):
    """A simulated world that tells where the things are that its task is about."""

    def places(self) -> Floats:
        """(N, P) metres; labels for auxiliary losses, never for a policy to see."""
        ...


@runtime_checkable
class PointsOut(Protocol):
    """A simulated world that tells where its pictures show a place."""

    def point_out(self, places: Floats) -> Mapping[str, Floats]:
        """View -> (N, K, 2) shares from left and top of places (N, 3 K) in metres; outside [0, 1]: not shown."""
        ...


class Pusher:
    """Disturbs the actions of one episode of one world."""

    def __init__(self, world: World, probability: float, rng: np.random.Generator) -> None:
        low, high = (np.asarray(bound, np.float32) for bound in (world.action_space.low, world.action_space.high))
        scale = getattr(world, "push_scale", None)
        self._scale = EVEN * 0.5 * (high - low) if scale is None else np.asarray(scale, np.float32)
        self._low, self._high, self._probability, self._rng = low, high, probability, rng
        self._left, self._push = 0, np.zeros_like(self._scale)

    def __call__(self, action: Floats) -> Floats:
        """What is executed in place of ``action`` (1, A), within its bounds."""
        if self._probability == 0:
            return action
        if self._left == 0 and self._rng.random() < self._probability:
            self._left = int(self._rng.integers(SHORTEST, LONGEST + 1))
            self._push = self._scale * self._rng.standard_normal(len(self._scale)).astype(np.float32)
        disturbed = action + TREMBLE * self._scale * self._rng.standard_normal(len(self._scale)).astype(np.float32)
        if self._left > 0:
            self._left -= 1
            disturbed = disturbed + self._push
        return np.asarray(np.clip(disturbed, self._low, self._high), np.float32)


class Film:
    """The pictures of one episode of one world: at every n-th decision, and wherever one is asked for."""

    def __init__(self, views: Sequence[str], every: int) -> None:
        self._views, self._every = tuple(views), every
        self._frames: dict[str, list[Frames]] = {view: [] for view in views}
        self._steps: list[int] = []

    def look(self, step: int, views: Mapping[str, Frames], now: bool = False) -> None:
        """Takes pictures if it is time, or ``now``."""
        if now or step % self._every == 0:
            self._steps.append(step)
            for view in self._views:
                self._frames[view].append(np.array(views[view][0], np.uint8))

    def developed(self) -> tuple[dict[str, Frames], NDArray[np.int64]]:
        """View -> (F, H, W, 3), and the steps (F,) that they show."""
        return {view: np.stack(shown) for view, shown in self._frames.items()}, np.asarray(self._steps, np.int64)


def places_of(world: World, recording: Recording) -> Floats | None:
    """(P,) where things are now, None unless it is recorded."""
    return world.places()[0].copy() if recording.places and isinstance(world, KnowsPlaces) else None


def points_of(world: World, places: Floats | None, views: Sequence[str]) -> dict[str, Floats] | None:
    """View -> (K, 2): where the pictures show places (3 K,) now; None without places, or if the world cannot."""
    if places is None or not isinstance(world, PointsOut):
        return None
    shown = world.point_out(places[None])
    return {view: np.array(shown[view][0], np.float32) for view in views if view in shown}


def stacked_points(told: Sequence[Mapping[str, Floats] | None]) -> dict[str, Floats] | None:
    """View -> (T+1, K, 2) of the points of T+1 moments; None where one of them has none."""
    known = [points for points in told if points]
    if len(known) < len(told):
        return None
    return {view: np.stack([points[view] for points in known]) for view in known[0]}
