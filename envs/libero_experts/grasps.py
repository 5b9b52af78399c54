"""Where and how a thing can be gripped from above: bowls at the rim, slim things across, the rest by search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from robo_reward.envs.libero_experts.grasp_search import search
from robo_reward.envs.libero_experts.hand import Hand, turned_about_up, up
from robo_reward.envs.libero_experts.put_down import Spot
from robo_reward.envs.libero_experts.scene import Place, Scene, Turn

WIDEST = 0.076
"""Metres that fit between the open fingers."""
RIM_DEPTH = 0.022
"""Metres below a bowl's rim at which the fingers close."""
BLOCKED = 4.0
"""Cost of what is in the hand's way from which it is worth coming from beside."""
BESIDE = (0.03, 0.05, 0.07)
"""Metres beside a thing at which the hand may come down instead."""
YAWS = range(-90, 90, 15)
HABIT = 1.5
"""Cost of gripping a bowl's rim opposite to ``USUAL``: of grasps that are about equally free demonstrations show the
same. One point of the hand (``fingertips``) that touches something costs no more than 1, so it does not outweigh it.
"""
USUAL = np.array([0.0, 1.0])
"""Where from a bowl's middle its rim is gripped if next to nothing is in the way, world axes."""


@dataclass
class Grasp:
    """A hand pose; ``cost`` is small where the hand is free, little turned and the thing narrow.

    ``beside`` (3,): where something hangs over the thing, the hand comes down this far from it, then moves over it.
    """

    cost: float
    place: Place
    turn: Turn
    yaw: float
    width: float
    beside: Place = field(default_factory=lambda: np.zeros(3))

    def like(self, other: Grasp, apart: float = 0.02) -> bool:
        """Whether trying both would be trying the same twice."""
        return bool(np.linalg.norm(self.place - other.place) <= apart and abs(self.yaw - other.yaw) <= 25)


def fingertips(place: Place, turn: Turn) -> Place:
    """(P, 3) sample points of the opened hand whose fingertips are around ``place``."""
    return place + _HAND @ turn.T


def _hand_points() -> Place:
    fingers = [
        (side * across, along, -up)
        for side in (-1, 1)
        for across in np.linspace(0.04, 0.064, 4)
        for along in (-0.013, 0, 0.013)
        for up in (-0.01, 0, 0.012, 0.025, 0.04)
    ]
    palm = [
        (across, along, -up)
        for across in np.linspace(-0.1, 0.1, 9)
        for along in (-0.035, 0, 0.035)
        for up in (0.055, 0.08, 0.12)
    ]
    return np.array(fingers + palm, float)


_HAND = _hand_points()


class Grasps:
    """Grasps of one thing, cheapest first, that differ from each other."""

    def __init__(self, scene: Scene, hand: Hand, thing: str) -> None:
        self._scene, self._hand, self._thing = scene, hand, thing
        self._body = scene.body(thing)
        self._bodies = scene.boxes.tree(self._body)

    def found(self) -> list[Grasp]:
        """Grasps where the thing stands, with what it costs to get there: from above, or else from beside."""
        if "bowl" in self._thing or "ramekin" in self._thing:
            found = [grasp for yaw in YAWS for grasp in self._rim(yaw)]
        else:
            found = [grasp for yaw in YAWS if (grasp := self._across(yaw)) is not None]
        if not found:
            found = [Grasp(*each) for each in search(*self._scene.boxes.oriented(self._bodies))]
        straight = [self._blocked(grasp.place, grasp.turn, (0, 0.05, 0.1)) for grasp in found]
        covered = min(straight, default=0.0) > BLOCKED
        for grasp, cost in zip(found, straight, strict=True):
            more, grasp.beside = min(
                self._ways(grasp, cost) if covered else [(cost, grasp.beside)], key=lambda way: way[0]
            )
            grasp.cost += more
        return found

    def ranked(self, spot: Spot, found: Sequence[Grasp] | None = None) -> list[Grasp]:
        """Grasps with which the hand is free where the thing stands and, as far as possible, at the spot too."""
        origin = self._scene.place(self._body)
        above = (0, 0.05) if spot.out is None else (0,)
        there = []
        for grasp in self.found() if found is None else found:
            place = spot.turn @ (grasp.place - origin) + spot.place + [0, 0, max(spot.release, 0.0)]
            more = 0.7 * self._blocked(place, spot.turn @ grasp.turn, above)
            there.append(replace(grasp, cost=grasp.cost + more))
        return _different(sorted(there, key=lambda grasp: grasp.cost))

    def _ways(self, grasp: Grasp, straight: float) -> list[tuple[float, Place]]:
        """What the hand meets and how far beside the thing it comes down: at once from above, and from each side."""
        over = up(float(self._scene.boxes.bounds(self._bodies)[1][2] - grasp.place[2]) + 0.02)
        here = self._blocked(grasp.place, grasp.turn, (0, float(over[2])))
        ways: list[tuple[float, Place]] = [(straight, np.zeros(3))]
        for angle in np.radians(np.arange(0, 360, 45)):
            for far in BESIDE:
                beside = over + far * np.array([np.cos(angle), np.sin(angle), 0.0])
                there = self._blocked(grasp.place + beside, grasp.turn, (0, 0.05, 0.1))
                ways.append((here + there + 1.0 + 5.0 * far, beside))
        return ways

    def _blocked(self, place: Place, turn: Turn, heights: Sequence[float]) -> float:
        """How many points of the hand lie in other things, at a pose and above it."""
        count = 0.0
        for height in heights:
            hit = self._scene.boxes.inside(fingertips(place + up(height), turn), self._bodies)
            count += float(hit.sum()) * (0.6 if height else 1.0)
        return count

    def _rim(self, yaw: int) -> list[Grasp]:
        """The two places where fingers at this yaw grip across a bowl's rim, in the bowl's own, maybe tilted frame."""
        turn = turned_about_up(np.radians(yaw))
        axes = self._scene.data.xmat[self._body].reshape(3, 3)
        origin = self._scene.place(self._body)
        local = (self._scene.boxes.corners(self._bodies) - origin) @ axes
        up = int(np.argmax(np.abs(axes[2])))
        sign = np.sign(axes[2, up])
        top = float((local[:, up] * sign).max())
        flat = [i for i in range(3) if i != up]
        radius = float(np.linalg.norm(local[local[:, up] * sign > top - 0.012][:, flat], axis=1).max()) - 0.004
        grasps = []
        for side in (-1, 1):
            way = side * (turn[:, 0] @ axes)
            way[up] = 0
            way = way / np.linalg.norm(way) * radius
            way[up] = top * sign
            place = origin + axes @ way - [0, 0, RIM_DEPTH]
            # A hand that leans back lies over the bowl unless it grips the near side, whose wall leans like it.
            lean, ahead = self._hand.lean(place)
            from_middle = (place - origin)[:2] / radius
            far, habit = 1.0 + float(from_middle @ ahead[:2]), HABIT * (1.0 - float(from_middle @ USUAL)) / 2
            cost = abs(yaw) / 90 * 0.6 + 3.0 * lean * far + habit
            grasps.append(Grasp(cost, place, turn, yaw, side * radius))
        return grasps

    def _across(self, yaw: int) -> Grasp | None:
        """The grip across the whole thing, if it fits between the fingers."""
        turn = turned_about_up(np.radians(yaw))
        corners = self._scene.boxes.corners(self._bodies)
        low, high = corners.min(0), corners.max(0)
        along = corners[:, :2] @ turn[:2, 0]
        width = float(np.ptp(along))
        if width > WIDEST:
            return None
        place = (low + high) / 2
        place[:2] += turn[:2, 0] * ((along.max() + along.min()) / 2 - place[:2] @ turn[:2, 0])
        middle = (low[2] + high[2]) / 2
        place[2] = max(high[2] - 0.035, middle) if high[2] - low[2] > 0.05 else max(middle, low[2] + 0.012)
        return Grasp(abs(yaw) / 90 * 0.6 + width * 8, place, turn, yaw, width)


def _different(grasps: list[Grasp]) -> list[Grasp]:
    kept: list[Grasp] = []
    for grasp in grasps:
        if not any(grasp.like(other) for other in kept):
            kept.append(grasp)
    return kept
