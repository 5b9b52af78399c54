"""Opens a drawer by its bar and pushes one shut."""

from __future__ import annotations

import numpy as np

from robo_reward.envs.libero_experts.hand import KEEP, OPEN, SHUT, Hand, Moves
from robo_reward.envs.libero_experts.jointed import TRIES, Part
from robo_reward.envs.libero_experts.scene import Goal, Place, Scene, Turn

DRAWN = 0.15
"""Metres at which a drawer is wide open."""


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
        poses = [np.stack([s * across, np.cross(pointing, s * across), pointing], 1) for s in (1, -1)]
        return min(poses, key=lambda pose: self._hand.off(self._hand.place, pose)[1])

    def _flat(self, degrees: float) -> Turn:
        """The same with the fingers side by side, so that the palm is thin where bars stick out above."""
        pose = self._facing(degrees)
        turned = [np.stack([s * pose[:, 1], -s * pose[:, 0], pose[:, 2]], 1) for s in (1, -1)]
        return min(turned, key=lambda each: self._hand.off(self._hand.place, each)[1])

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
        return (8, 0, 20) if over.any() else (30, 40, 20)

    def _open(self, attempt: int) -> Moves:
        hand, bar = self._hand, self._bar()
        centre = (bar[:3] + bar[3:]) / 2
        pose = self._facing(self._leans(bar)[attempt])
        into = pose[:, 2]
        far = centre + self._out * 0.16
        far[2] = max(far[2] + 0.12, hand.place[2] - 0.1)
        yield from hand.go(far, pose, OPEN, 0.04, 50, lean=False, turned=0.3)
        yield from hand.hold(centre - into * 0.12, pose, SHUT, 4)  # half closed, then kept so
        yield from hand.go(centre - into * 0.09, pose, KEEP, 0.015, 40, lean=False)
        yield from hand.go(centre + into * 0.004, pose, KEEP, 0.008, 30, lean=False)
        yield from hand.hold(centre + into * 0.004, pose, SHUT, 8)

        def pulled() -> Place:
            to = centre.copy()
            to[self._along] = hand.place[self._along] + self._out[self._along] * 0.05
            return to

        def wide() -> bool:
            return self._part.done() and abs(self._part.value) > DRAWN

        yield from hand.go(pulled, pose, SHUT, 0.0, 60, until=wide, lean=False)
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
