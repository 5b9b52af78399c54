"""Which joint paths keep the arm inside its workspace and off itself: the question, and answers without a simulator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robo_reward.real_robot.braking import Floats


class Workspace(Protocol):
    """Judges joint paths by kinematics."""

    def allows(self, paths: Floats, period: float) -> NDArray[np.bool_]:
        """``paths`` (N, K, J): consecutive goals, one ``period`` (s) apart; (N,) bool, True where all of it is allowed.

        The answer must come from each goal and each pair of consecutive goals alone: a piece of an allowed path is
        then allowed too, which is what ``limiter.py`` builds on.
        """
        ...

    def begin(self, pose: Floats) -> None:
        """The arm starts at the pose (J,): what it rests on there may be allowed."""
        ...

    def rests(self, poses: Floats) -> NDArray[np.bool_]:
        """(N,) whether the arm lies on anything at the poses (N, J): it must not be dragged along it."""
        ...

    def reason(self, pose: Floats) -> str:
        """Why the pose (J,) is not allowed; empty where it is."""
        ...


class Everywhere:
    """No workspace: every path is allowed."""

    def allows(self, paths: Floats, period: float) -> NDArray[np.bool_]:
        return np.ones(len(paths), dtype=np.bool_)

    def begin(self, pose: Floats) -> None:
        """Nothing to remember."""

    def rests(self, poses: Floats) -> NDArray[np.bool_]:
        return np.zeros(len(poses), dtype=np.bool_)

    def reason(self, pose: Floats) -> str:
        return ""


@dataclass(frozen=True)
class BoxWorkspace:
    """Keeps one point inside a box and under a speed; ``tip`` maps joints (..., J) to that point (..., 3) in metres."""

    tip: Callable[[Floats], Floats]
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    speed: float = np.inf
    """Metres per second between consecutive goals."""

    def allows(self, paths: Floats, period: float) -> NDArray[np.bool_]:
        points = self.tip(paths)
        inside = ((points >= self.low) & (points <= self.high)).all(axis=(1, 2))
        fastest = np.linalg.norm(np.diff(points, axis=1), axis=2).max(axis=1) / period
        allowed: NDArray[np.bool_] = inside & (fastest <= self.speed)
        return allowed

    def begin(self, pose: Floats) -> None:
        """Nothing to remember."""

    def rests(self, poses: Floats) -> NDArray[np.bool_]:
        return np.zeros(len(poses), dtype=np.bool_)

    def reason(self, pose: Floats) -> str:
        point = self.tip(pose)
        if ((point >= self.low) & (point <= self.high)).all():
            return ""
        return f"the tip at {np.round(point, 3)} m is outside the box {self.low} to {self.high}"
