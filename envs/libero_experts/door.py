"""Opens the microwave by its handle along the arc, and pushes it shut."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from robo_reward.envs.libero_experts.hand import DOWN, OPEN, SHUT, Hand, Moves, turned_about_up, up
from robo_reward.envs.libero_experts.jointed import TRIES, Part
from robo_reward.envs.libero_experts.scene import Goal, Place, Scene, Turn


class Door:
    """Goals ``open`` and ``close`` of a fixture on a hinge."""

    def __init__(self, scene: Scene, hand: Hand, goal: Goal) -> None:
        self._part, self._hand = Part(scene, hand, goal), hand

    def moves(self) -> Moves:
        """True when the goal holds."""
        for attempt in range(TRIES):
            yield from self._open(attempt) if self._part.goal.predicate == "open" else self._close()
            if self._part.done():
                return True
            yield from self._hand.lift(0.06, DOWN, steps=15)
        return False

    def _axis(self) -> Place:
        return np.array([0, 0, np.sign(self._part.axis[2])])

    def _panel(self) -> Place:
        """(6,) the box of the door itself, the part's largest."""
        boxes = self._part.upright()
        panel: Place = boxes[int(np.argmax(np.prod(boxes[:, 3:] - boxes[:, :3], 1)))]
        return panel

    def _close(self) -> Moves:
        hand, part, axis = self._hand, self._part, self._axis()
        panel, anchor = self._panel(), part.anchor
        arm = (panel[:3] + panel[3:]) / 2 - anchor
        arm[2] = 0
        radius = float(np.linalg.norm(arm)) * 1.75
        arm = arm / np.linalg.norm(arm)
        sign = 1.0 if part.value < 0 else -1.0
        height = panel[5] - 0.05

        def point(way: Place, behind: float) -> Place:
            at = anchor + way * radius - sign * np.cross(axis, way) * behind
            return np.array([at[0], at[1], height])

        start, begun = point(arm, 0.09), part.value
        yield from hand.go(np.array([*start[:2], max(hand.place[2], panel[5] + 0.05)]), DOWN, SHUT, 0.03)
        yield from hand.go(start, DOWN, SHUT, 0.02, 40)

        def pushed() -> Place:
            moved = (part.value - begun) * axis[2]
            return point(Rotation.from_euler("z", moved).apply(arm), -0.05)

        return (yield from hand.go(pushed, DOWN, SHUT, 0.0, 110, until=part.done))

    def _open(self, attempt: int) -> Moves:
        hand, part, axis = self._hand, self._part, self._axis()
        grip, yaw = self._handle(attempt)
        pose = turned_about_up(yaw)
        yield from hand.go(grip + up(0.08), pose, OPEN, 0.02, 70)
        yield from hand.go(grip, pose, OPEN, 0.008, 30)
        yield from hand.hold(grip, pose, SHUT, 8)
        anchor, begun, sign = part.anchor, part.value, part.opening_sign
        arm = grip - anchor

        def pulled() -> Place:
            at = anchor + Rotation.from_euler("z", (part.value - begun + sign * 0.22) * axis[2]).apply(arm)
            return np.array([at[0], at[1], grip[2]])

        def rolled() -> Turn:
            return turned_about_up(yaw + (part.value - begun) * axis[2])

        return (yield from hand.go(pulled, rolled, SHUT, 0.0, 120, until=part.done))

    def _handle(self, attempt: int) -> tuple[Place, float]:
        """Where to grip the upper handle bar (3,), and the yaw across it."""
        boxes, panel = self._part.upright(), self._panel()
        volume = np.prod(boxes[:, 3:] - boxes[:, :3], 1)
        small = boxes[volume < float(volume.max()) * 0.5]
        bar = small[int(np.argmax(small[:, 2] + small[:, 5]))]
        grip = (bar[:3] + bar[3:]) / 2
        if attempt == 1:
            grip = grip + (grip - (panel[:3] + panel[3:]) / 2) * 0.2
        thin = int(np.argmin((bar[3:] - bar[:3])[:2]))
        return np.array([grip[0], grip[1], bar[5] - 0.012]), 0.0 if thin == 1 else -np.pi / 2
