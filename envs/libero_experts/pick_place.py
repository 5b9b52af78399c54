"""Picks a thing up and lays it where a goal wants it, watching the thing itself and trying again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from robo_reward.envs.libero_experts.aside import aside
from robo_reward.envs.libero_experts.boxes import highest_on_way
from robo_reward.envs.libero_experts.grasps import Grasp, Grasps
from robo_reward.envs.libero_experts.hand import OPEN, SHUT, Hand, Moves, up
from robo_reward.envs.libero_experts.put_down import Shape, Spot, put_down
from robo_reward.envs.libero_experts.scene import Goal, Place, Scene

TRIES = 4
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
            self._shape = Shape.of(self._scene, self._goal.thing)
            ranked = self._grasps.ranked(self._spot())
            if not ranked:
                return False
            grasp = ranked[min(attempt, len(ranked) - 1)]
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

    def _spot(self) -> Spot:
        where = aside if self._goal.predicate == "aside" else put_down
        return where(self._scene, self._goal, self._shape)

    @property
    def _thing(self) -> Place:
        return self._scene.place(self._body)

    def _below(self) -> float:
        """Metres from the thing's lowest corner to its origin."""
        return float(self._thing[2] - self._scene.boxes.bounds(self._bodies)[0][2])

    def _reach(self, grasp: Grasp, last: bool) -> Moves:
        """Open fingers around the thing; False where something is in the way."""
        hand, to = self._hand, grasp.place
        upright = self._scene.boxes.upright()

        def above() -> Place:
            at = hand.place
            high = max(highest_on_way(upright, at, to, 0.05) + 0.04, to[2] + 0.06)
            return np.array([*(at if at[2] < high - 0.03 else to)[:2], high])

        yield from hand.go(above, grasp.turn, OPEN, 0.03, 70)
        yield from hand.go(to + up(0.05), grasp.turn, OPEN, 0.012)
        yield from hand.go(to, grasp.turn, OPEN, 0.006, 30)
        if hand.place[2] - to[2] > 0.014 and not last:
            yield from hand.lift(0.08, grasp.turn, steps=15)
            return False
        return True

    def _lift(self, grasp: Grasp) -> Moves:
        hand = self._hand
        yield from hand.hold(grasp.place, grasp.turn, SHUT, 9)
        before, thing = self._thing[2], self._thing
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
        turn, lean = spot.turn @ grasp.turn, not spot.tilted
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
            yield from hand.go(thing_at(up(spot.release + 0.05)), turn, SHUT, 0.02, until=lost, lean=lean)
            yield from hand.go(thing_at(up(spot.release)), turn, SHUT, 0.008, 35, 0.6, lost, lean)
            yield from hand.rest(OPEN, 8)
            yield from hand.lift(0.1, turn)
        yield from hand.rest(OPEN, 8)
        return True
