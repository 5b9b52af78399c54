"""Picks a thing up and lays it where a goal wants it, watching the thing itself and trying again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial.transform import Rotation

from robo_reward.envs.libero_experts.aside import aside
from robo_reward.envs.libero_experts.boxes import highest_on_way
from robo_reward.envs.libero_experts.grasps import Grasp, Grasps
from robo_reward.envs.libero_experts.hand import OPEN, SHUT, Hand, Moves, up
from robo_reward.envs.libero_experts.put_down import Shape, Spot, put_down
from robo_reward.envs.libero_experts.scene import Goal, Place, Scene, Turn

TRIES = 4
SECOND_BEST = 3.0
"""What a later spot of those to choose among costs more, in the unit of a grasp's cost."""
BEFORE_MOUTH = 0.16
"""Metres before a roofed spot at which a thing is brought to its height."""


class PickAndPlace:
    """One goal ``on`` or ``in``; the hand comes from above."""

    def __init__(self, scene: Scene, hand: Hand, goal: Goal) -> None:
        self._scene, self._hand, self._goal = scene, hand, goal
        self._body = scene.body(goal.thing)
        self._bodies = scene.boxes.tree(self._body)
        self._grasps = Grasps(scene, hand, goal.thing)

    def moves(self) -> Moves:
        """True when the goal holds with the hand gone."""
        for attempt in range(TRIES):
            self._shape, self._stood = Shape.of(self._scene, self._goal.thing), self._turn
            ranked = self._ranked()
            if not ranked:
                return False
            self._way, grasp = ranked[min(attempt, len(ranked) - 1)]
            if not (yield from self._reach(grasp, last=attempt == TRIES - 1)):
                continue
            if not (yield from self._lift(grasp)):
                continue
            if not (yield from self._carry(grasp)):
                continue
            yield from self._release(grasp)
            if self._goal.predicate == "aside" or self._scene.holds(self._goal):
                return True
        return False

    def _spots(self) -> list[Spot]:
        where = aside if self._goal.predicate == "aside" else put_down
        return where(self._scene, self._goal, self._shape)

    def _spot(self) -> Spot:
        """The chosen spot, where it is now."""
        return self._spots()[self._way]

    def _ranked(self) -> list[tuple[int, Grasp]]:
        """Which spot and which grasp, the cheapest first."""
        found = self._grasps.found()
        pairs = [(way, grasp) for way, spot in enumerate(self._spots()) for grasp in self._grasps.ranked(spot, found)]
        return sorted(pairs, key=lambda pair: pair[1].cost + SECOND_BEST * pair[0])

    @property
    def _thing(self) -> Place:
        return self._scene.place(self._body)

    @property
    def _turn(self) -> Turn:
        """(3, 3) how the thing is turned."""
        return np.array(self._scene.data.xmat[self._body].reshape(3, 3))

    def _turned(self, spot: Spot, grasp: Grasp) -> Turn:
        """The hand's pose at a spot; at an exact one, the thing's turning between the fingers is made good."""
        turn = spot.turn @ grasp.turn
        if not spot.exact:
            return turn
        moved, by = self._turn @ self._stood.T, self._hand.turn @ grasp.turn.T
        slipped = Rotation.from_matrix(moved @ by.T).as_rotvec()[2]
        made_good: Turn = Rotation.from_euler("z", -slipped).as_matrix() @ turn
        return made_good

    def _below(self) -> float:
        """Metres from the thing's lowest corner to its origin."""
        return float(self._thing[2] - self._scene.boxes.bounds(self._bodies)[0][2])

    def _reach(self, grasp: Grasp, last: bool) -> Moves:
        """Open fingers around the thing; False where something is in the way."""
        hand, to, stand = self._hand, grasp.place, grasp.place + grasp.beside
        upright = self._scene.boxes.upright()

        def above() -> Place:
            at = hand.place
            high = max(highest_on_way(upright, at, stand, 0.05) + 0.04, stand[2] + 0.06)
            return np.array([*(at if at[2] < high - 0.03 else stand)[:2], high])

        yield from hand.go(above, grasp.turn, OPEN, 0.03, 70)
        if grasp.beside.any():
            yield from hand.go(stand, grasp.turn, OPEN, 0.012)
        yield from hand.go(to + up(float(grasp.beside[2]) or 0.05), grasp.turn, OPEN, 0.012)
        yield from hand.go(to, grasp.turn, OPEN, 0.006, 30)
        if hand.place[2] - to[2] > 0.014 and not last:
            yield from hand.lift(0.08, grasp.turn, steps=15)
            return False
        return True

    def _lift(self, grasp: Grasp) -> Moves:
        hand = self._hand
        yield from hand.hold(grasp.place, grasp.turn, SHUT, 9)
        before = self._thing[2]
        if grasp.beside.any():
            yield from hand.go(grasp.place + up(float(grasp.beside[2])), grasp.turn, SHUT, 0.01, 15, speed=0.7)
            yield from hand.go(grasp.place + grasp.beside, grasp.turn, SHUT, 0.01, 20)
        thing = self._thing
        upright = self._scene.boxes.upright(but=self._bodies)
        clear = highest_on_way(upright, thing, thing, 0.06) + 0.03 + self._below() - thing[2]
        yield from hand.go(hand.place + up(max(0.06, clear)), grasp.turn, SHUT, 0.02, 40, speed=0.7)
        if self._thing[2] - before < 0.015:
            yield from hand.lift(0.05, grasp.turn, steps=15)
            return False
        return True

    def _carry(self, grasp: Grasp) -> Moves:
        """To above the spot or before its mouth, only as high as the way needs; False where the thing was lost."""
        hand, below, spot = self._hand, self._below(), self._spot()
        upright = self._scene.boxes.upright(but=self._bodies)
        goal = spot.place if spot.out is None else spot.place + spot.out * BEFORE_MOUTH
        gripped = float(np.linalg.norm(self._thing - hand.place))
        turn = grasp.turn if spot.tilted else spot.turn @ grasp.turn

        def high() -> Place:
            at, thing = hand.place, self._thing
            low = thing[2] - below
            need = max(highest_on_way(upright, thing, goal, 0.07) + 0.03, goal[2] - below + 0.05)
            ahead = goal[:2] - thing[:2] if low >= need - 0.025 else np.zeros(2)
            return np.asarray(at + np.append(ahead, need - low))

        yield from hand.go(high, turn, SHUT, 0.02, 90, until=lambda: self._lost(gripped), turned=9.0)
        if self._lost(gripped):
            yield from hand.lift(0.03, turn, steps=10)
            return False
        return True

    def _lost(self, gripped: float) -> bool:
        return bool(np.linalg.norm(self._thing - self._hand.place) > gripped + 0.05)

    def _release(self, grasp: Grasp) -> Moves:
        hand, spot = self._hand, self._spot()
        turn, lean = self._turned(spot, grasp), not spot.tilted
        gripped = float(np.linalg.norm(self._thing - hand.place))

        def lost() -> bool:
            return self._lost(gripped)

        def thing_at(shift: Place) -> Callable[[], Place]:
            return lambda: np.asarray(hand.place + spot.place + shift - self._thing)

        if spot.out is not None:
            yield from hand.go(thing_at(spot.out * BEFORE_MOUTH), turn, SHUT, 0.02, 80, until=lost, lean=lean)
            yield from hand.go(thing_at(np.zeros(3)), turn, SHUT, 0.006, 70, 0.5, lost, lean)
            yield from hand.rest(OPEN, 8)
            yield from hand.go(hand.place + spot.out * 0.12, turn, OPEN, 0.02, 20, lean=lean)
        else:
            over = thing_at(up(spot.release + spot.above))
            near, turned, speed = (0.004, 0.05, 0.4) if spot.exact else (0.02, 0.1, 1.0)
            yield from hand.go(over, turn, SHUT, near, 60, speed, lost, lean, turned)
            yield from hand.go(thing_at(up(spot.release)), turn, SHUT, 0.008, 35, 0.6, lost, lean)
            yield from hand.rest(OPEN, 8)
            yield from hand.lift(0.1, turn)
        yield from hand.rest(OPEN, 8)
        return True
