"""Opens a drawer by its bar and pushes one shut."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from robo_reward.envs.libero_experts.hand import KEEP, OPEN, SHUT, Hand, Moves
from robo_reward.envs.libero_experts.jointed import TRIES, Part
from robo_reward.envs.libero_experts.scene import Goal, Place, Scene, Turn

DRAWN = 0.15
"""Metres at which a drawer is wide open."""
AMISS = (0.018, 0.12)
"""Metres and radians off before the bar from which the arm will not reach it at this lean."""
ROLLED = ((27, 53), (27, -53))
"""Degrees of lean and roll for a bar between another above it and the floor: the rolled palm is less high."""
THINNEST = 0.004
"""Metres between fingers that hold nothing."""
PALM = np.array(
    [
        (across, along, -back)
        for back, thick in ((0.031, 0.005), (0.043, 0.019), (0.097, 0.03))
        for across in np.linspace(-0.093, 0.093, 9)
        for along in (-thick, 0, thick)
    ]
)
"""(P, 3) points of the palm, whose front is a narrow edge; the origin is between the fingertips."""
WRIST = np.array([(x, y, -back) for back in (0.15, 0.2, 0.25, 0.3) for x in (-0.05, 0.05) for y in (-0.05, 0.05)])
"""(P, 3) points of the arm behind the palm."""


class Drawer:
    """Goals ``open`` and ``close`` of a cabinet's drawer."""

    def __init__(self, scene: Scene, hand: Hand, goal: Goal) -> None:
        self._part, self._hand, self._scene = Part(scene, hand, goal), hand, scene
        self._out = np.round(self._part.axis * self._part.opening_sign)
        self._along = int(np.argmax(np.abs(self._out)))

    def moves(self) -> Moves:
        """True when the goal holds."""
        for attempt in range(TRIES):
            yield from self._open(attempt) if self._part.goal.predicate == "open" else self._close(attempt)
            if self._part.done():
                break
        yield from self._hand.lift(0.08, self._hand.turn, steps=12)
        return self._part.done()

    def _bar(self) -> Place:
        """(6,) box of the handle's bar: what reaches furthest in the opening direction."""
        boxes = self._part.upright()
        reach = boxes[:, 3 + self._along] if self._out[self._along] > 0 else -boxes[:, self._along]
        bar: Place = boxes[int(np.argmax(reach))]
        return bar

    def _facing(self, degrees: float) -> Turn:
        """The hand pointing against the opening direction, leaning down by some degrees, one finger above the other."""
        lean = np.radians(degrees)
        pointing = -np.cos(lean) * self._out - np.sin(lean) * np.array([0, 0, 1.0])
        across = np.cross(np.cross(pointing, [0, 0, 1.0]), pointing)
        across = across / np.linalg.norm(across)
        return self._hand.nearest(np.stack([s * across, np.cross(pointing, s * across), pointing], 1) for s in (1, -1))

    def _flat(self, degrees: float) -> Turn:
        """The same with the fingers side by side, so that the palm is thin where bars stick out above."""
        pose = self._facing(degrees)
        return self._hand.nearest(np.stack([s * pose[:, 1], -s * pose[:, 0], pose[:, 2]], 1) for s in (1, -1))

    def _pose(self, lean: int, roll: int) -> Turn:
        """The hand facing the drawer, rolled about where it points."""
        pose = self._facing(lean)
        rolled: Turn = Rotation.from_rotvec(pose[:, 2] * np.radians(roll)).as_matrix() @ pose
        return rolled

    def _ways(self, bar: Place) -> list[tuple[int, int]]:
        """Degrees of lean and roll to try, first those with the palm free at the bar and the wrist free when drawn."""
        centre = (bar[:3] + bar[3:]) / 2
        boxes, drawn = self._scene.boxes, centre + self._out * DRAWN

        def met(way: tuple[int, int]) -> int:
            pose = self._pose(*way)
            palm, wrist = _grip(centre, pose, way[1]) + PALM @ pose.T, drawn + WRIST @ pose.T
            hits = (boxes.inside(palm, (), 0.0), boxes.inside(wrist, self._part.bodies))
            return int(sum(hit.sum() for hit in hits))

        return sorted([*((lean, 0) for lean in self._leans(bar)), *ROLLED], key=met)

    def _leans(self, bar: Place) -> tuple[int, int, int]:
        """Degrees to try: steep where the floor is near, flat where something hangs over the bar."""
        centre = (bar[:3] + bar[3:]) / 2
        boxes = self._scene.boxes.upright(but=self._part.bodies)
        over = (boxes[:, 3:] > centre - [0.03, 0.03, -0.03]).all(1) & (boxes[:, :2] < centre[:2] + 0.03).all(1)
        over &= (boxes[:, 2] > centre[2] + 0.02) & (boxes[:, 2] < centre[2] + 0.12)
        ahead = centre[:2] + self._out[:2] * 0.1
        low = (boxes[:, :2] < ahead).all(1) & (boxes[:, 3:5] > ahead).all(1) & (boxes[:, 5] < centre[2])
        floor = float(boxes[low, 5].max()) if low.any() else 0.0
        if centre[2] - floor <= 0.095:
            return (42, 50, 35)
        return (8, 25, 0) if over.any() else (30, 40, 20)

    def _open(self, attempt: int) -> Moves:
        hand, bar = self._hand, self._bar()
        centre = (bar[:3] + bar[3:]) / 2
        lean, roll = self._ways(bar)[attempt]
        pose = self._pose(lean, roll)
        into = pose[:, 2]
        far = centre + self._out * 0.16
        far[2] = max(far[2] + 0.12, hand.place[2] - 0.1)
        yield from hand.go(far, pose, OPEN, 0.04, 50, lean=False, turned=0.3)
        if not roll:
            yield from hand.hold(centre - into * 0.12, pose, SHUT, 4)  # half closed, then kept so
        grip = OPEN if roll else KEEP
        before = centre - into * 0.09
        yield from hand.go(before, pose, grip, 0.015, 40, lean=False)
        away, turned = hand.off(before, pose)
        if (away > AMISS[0] or turned > AMISS[1]) and attempt < TRIES - 1:
            return False
        grasp = _grip(centre, pose, roll)
        yield from hand.go(grasp, pose, grip, 0.008, 30, lean=False)
        yield from hand.hold(grasp, pose, SHUT, 8)

        def pulled() -> Place:
            to = centre.copy()
            to[self._along] = hand.place[self._along] + self._out[self._along] * 0.05
            return to

        def wide_or_lost() -> bool:
            return (self._part.done() and abs(self._part.value) > DRAWN) or hand.width < THINNEST

        yield from hand.go(pulled, pose, SHUT, 0.0, 60, until=wide_or_lost, lean=False)
        yield from hand.rest(OPEN, 6)
        yield from hand.go(hand.place + self._out * 0.07 + [0, 0, 0.02], pose, OPEN, 0.03, 15, lean=False)
        return self._part.done()

    def _close(self, attempt: int) -> Moves:
        hand, bar = self._hand, self._bar()
        start = (bar[:3] + bar[3:]) / 2
        edge = bar[3 + self._along] if self._out[self._along] > 0 else bar[self._along]
        start[self._along] = edge + self._out[self._along] * 0.07
        start[2] += 0.012 * attempt
        pose = self._flat((50, 35, 65)[attempt])
        over = np.array([start[0], start[1], max(hand.place[2] - 0.05, start[2] + 0.1)])
        yield from hand.go(over, pose, SHUT, 0.04, 60, lean=False, turned=0.3)
        yield from hand.go(start, pose, SHUT, 0.015, 40, lean=False)

        def pushed() -> Place:
            to = start.copy()
            to[self._along] = hand.place[self._along] - self._out[self._along] * 0.06
            return to

        yield from hand.go(pushed, pose, SHUT, 0.0, 70, until=self._part.done, lean=False)
        yield from hand.go(hand.place + self._out * 0.06, pose, SHUT, 0.02, 10, lean=False)
        return self._part.done()


def _grip(centre: Place, pose: Turn, roll: int) -> Place:
    """(3,) where the fingers close about a bar: a rolled hand takes it by the fingertips, the palm further off."""
    grip: Place = centre + pose[:, 2] * (-0.006 if roll else 0.004)
    return grip
