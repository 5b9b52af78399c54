"""Pushes a flat thing, such as a plate, over the table: shut fingertips in its hollow press against the rim ahead."""

from __future__ import annotations

import numpy as np

from robo_reward.envs.libero_experts.hand import SHUT, Hand, Moves, turned_about_up, up
from robo_reward.envs.libero_experts.put_down import Shape
from robo_reward.envs.libero_experts.scene import Goal, Place, Scene, Turn

TRIES = 4
HOLLOW = 0.5
"""Where the fingertips go down, as a share of the radius; they slide on until the rim stops them."""
PRESS = 0.012
"""Metres under the rim."""
NEAR = 0.02


def must_be_pushed(scene: Scene, goal: Goal) -> bool:
    """Whether a thing that should go onto a region of the table is too flat and wide to be gripped."""
    if goal.predicate != "on" or not scene.is_site(goal.target):
        return False
    on_table = "table" in scene.model.body(int(scene.model.site_bodyid[scene.site(goal.target)])).name
    shape = Shape.of(scene, goal.thing)
    return on_table and shape.height < 0.03 and shape.widths[0] > 0.1


class Push:
    """Goal ``on`` of a region of the table."""

    def __init__(self, scene: Scene, hand: Hand, goal: Goal) -> None:
        self._scene, self._hand, self._goal = scene, hand, goal
        self._body = scene.body(goal.thing)
        self._to = scene.region(goal.target)[0]
        self._radius = Shape.of(scene, goal.thing).widths[0] / 2

    def moves(self) -> Moves:
        """True when the goal holds."""
        for _ in range(TRIES):
            yield from self._push()
            yield from self._hand.lift(0.1, self._hand.turn)
            if self._scene.holds(self._goal):
                return True
        return False

    def _way(self) -> Place:
        way = (self._to - self._scene.place(self._body)) * [1, 1, 0]
        unit: Place = way / max(float(np.linalg.norm(way)), 1e-6)
        return unit

    def _over(self, ahead: float, press: float) -> Place:
        """(3,) in the hollow, ``ahead`` of its middle towards the target, ``press`` metres under the rim."""
        high = self._scene.boxes.bounds(self._scene.boxes.tree(self._body))[1][2]
        at = self._scene.place(self._body) + self._way() * ahead
        return np.array([at[0], at[1], high - press])

    def _push(self) -> Moves:
        hand, way = self._hand, self._way()
        yaw = float(np.arctan2(way[1], way[0]))
        turns = [turned_about_up(yaw + half) for half in (0.0, np.pi)]  # the fingers' line lies across the way
        turn: Turn = min(turns, key=lambda each: hand.off(hand.place, each)[1])
        start = self._over(HOLLOW * self._radius, 0.0)
        yield from hand.go(start + up(0.08), turn, SHUT, 0.02, 60)
        yield from hand.go(start - up(PRESS), turn, SHUT, 0.008, 20)

        def there() -> bool:
            at = self._scene.place(self._body)
            off = (self._to - at)[:2]
            over_the_rim = np.linalg.norm((hand.place - at)[:2]) > self._radius
            return bool(np.linalg.norm(off) < NEAR or off @ way[:2] < 0 or over_the_rim)

        def onwards() -> Place:
            at = hand.place + self._way() * 0.04
            return np.array([at[0], at[1], start[2] - PRESS])

        return (yield from hand.go(onwards, turn, SHUT, 0.0, 120, speed=0.6, until=there))
