"""Robustness of a frozen policy: survival and tracking against the force of pushes, and the force that fells half."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from robo_reward.errors import UserError
from robo_reward.evaluation import wilson
from robo_reward.pushes.patterns import Kind
from robo_reward.pushes.trial import PushTrials, Trial


@dataclass(frozen=True, slots=True)
class Point:
    """What happened under one force: survival with its Wilson 95% interval, mean error with its normal one."""

    newtons: float
    episodes: int
    survived: int
    survival_ci95: tuple[float, float]
    error: float | None
    error_ci95: tuple[float, float] | None
    blown_up: int

    @property
    def survival(self) -> float:
        """Share of episodes that did not end early."""
        return self.survived / self.episodes


@dataclass(slots=True)
class Curve:
    """The points of one kind of push, by force. ``f50``: see ``bisect``; ``f50_ci95`` where the bands allow."""

    kind: Kind
    points: list[Point] = field(default_factory=list)
    f50: float | None = None
    censored: bool = False
    """Whether more than half survived the hardest push that was tried: F50 is then above ``f50``."""

    @property
    def f50_ci95(self) -> tuple[float, float | None]:
        """From the largest force whose band is above one half to the smallest whose band is below; None without one."""
        above = [p.newtons for p in self.points if p.survival_ci95[0] >= 0.5]
        below = [p.newtons for p in self.points if p.survival_ci95[1] < 0.5]
        return max(above, default=0.0), min(below, default=None)

    @property
    def hardest_survived(self) -> float | None:
        """The largest force that anybody survived."""
        return max((p.newtons for p in self.points if p.survived), default=None)


@dataclass(frozen=True, slots=True)
class Forces:
    """Newtons: a ``grid`` for the curve, and the bisection's upper end ``most`` and final width ``resolution``."""

    grid: tuple[float, ...]
    most: float
    resolution: float

    def __post_init__(self) -> None:
        if any(not 0.0 <= force < math.inf for force in self.grid):
            raise UserError(f"disturbance.forces={list(self.grid)} must be 0 or more newtons")
        if not 0.0 < self.resolution <= self.most < math.inf:
            raise UserError(
                f"disturbance.most={self.most} N must be above 0, and disturbance.resolution={self.resolution} N above "
                "0 and at most that"
            )


def sweep(trials: PushTrials, kind: Kind, forces: Forces) -> Curve:
    """One kind's curve and its F50."""
    curve = Curve(kind)
    for newtons in sorted(set(forces.grid)):
        _measure(trials, curve, newtons)
    bisect(trials, curve, forces.most, forces.resolution)
    curve.points.sort(key=lambda point: point.newtons)
    return curve


def bisect(trials: PushTrials, curve: Curve, most: float, resolution: float) -> None:
    """Finds the force at which survival falls to one half, to within ``resolution``.

    The same episodes are pushed at every force. Points that are known shorten the search; F50 is interpolated between
    its last two forces. 0 where fewer than half survive unpushed; censored where more than half survive ``most``.
    """
    low, high = _measure(trials, curve, 0.0), _measure(trials, curve, most)
    if low.survival < 0.5:
        curve.f50 = 0.0
        return
    if high.survival >= 0.5:
        curve.f50, curve.censored = most, True
        return
    while high.newtons - low.newtons > resolution:
        known = sorted(p.newtons for p in curve.points if low.newtons < p.newtons < high.newtons)
        middle = _measure(trials, curve, known[len(known) // 2] if known else (low.newtons + high.newtons) / 2)
        low, high = (middle, high) if middle.survival >= 0.5 else (low, middle)
    share = (low.survival - 0.5) / max(low.survival - high.survival, 1e-9)
    curve.f50 = low.newtons + share * (high.newtons - low.newtons)


def _measure(trials: PushTrials, curve: Curve, newtons: float) -> Point:
    for point in curve.points:
        if point.newtons == newtons:
            return point
    curve.points.append(point_of(newtons, trials.run(curve.kind, newtons)))
    return curve.points[-1]


def point_of(newtons: float, trial: Trial) -> Point:
    """A trial's numbers."""
    survived, count = int(trial.survived.sum()), len(trial.survived)
    known = trial.error[np.isfinite(trial.error)]
    error = float(known.mean()) if len(known) else None
    half = 1.959964 * float(known.std(ddof=1)) / math.sqrt(len(known)) if len(known) > 1 else 0.0
    band = None if error is None else (error - half, error + half)
    return Point(newtons, count, survived, wilson(survived, count), error, band, trial.blown_up)


def inside_band(curve: Curve, other: Curve) -> Sequence[tuple[float, bool]]:
    """(force, whether the 95% intervals of survival overlap) at the forces that both curves have."""
    mine = {p.newtons: p.survival_ci95 for p in curve.points}
    theirs = {p.newtons: p.survival_ci95 for p in other.points}
    both = sorted(set(mine) & set(theirs))
    return [(f, mine[f][0] <= theirs[f][1] and theirs[f][0] <= mine[f][1]) for f in both]


def remarks(curves: Sequence[Curve], name: str, resolution: float) -> list[str]:
    """What the curves of the task ``name`` cannot say, in words; ``resolution`` (N) of their F50."""
    if all(point.survived == point.episodes for curve in curves for point in curve.points):
        return [f"no push ended an episode of '{name}' early: survival says nothing of tasks that nothing terminates"]
    found = {curve.kind: curve.f50 for curve in curves if curve.f50 is not None}
    worst = found.pop("worst", None)
    least = min(found, key=lambda kind: found[kind], default=None)
    if worst is None or least is None or worst <= found[least] + resolution:
        return []
    return [
        f"the worst case is none: {least} pushes fell half at {found[least]:.0f} N. Its adversary practised too little "
        "(disturbance.practice.steps), or at another force than it should (disturbance.practice.newtons)"
    ]
