"""Turns the stove's knob: the fingers grip its bar and the wrist rolls."""

from __future__ import annotations

import numpy as np

from robo_reward.envs.libero_experts.hand import OPEN, SHUT, Hand, Moves, turned_about_up
from robo_reward.envs.libero_experts.jointed import TRIES, Part
from robo_reward.envs.libero_experts.scene import Goal, Place, Scene, Turn

STEP, MOST = 0.06, 1.9
"""Radians that the wrist's goal rolls in a step, and in all."""


class Knob:
    """Goals ``turnon`` and ``turnoff``."""

    def __init__(self, scene: Scene, hand: Hand, goal: Goal) -> None:
        self._part, self._hand, self._scene = Part(scene, hand, goal), hand, scene

    def moves(self) -> Moves:
        """True when the goal holds."""
        for attempt in range(TRIES):
            yield from self._turn(attempt)
            yield from self._hand.lift(0.08, self._hand.turn, steps=12)
            if self._part.done():
                return True
        return False

    def _bar(self) -> tuple[Place, float]:
        """Where to grip the knob's bar (3,), and the yaw at which the fingers are across it."""
        centres, axes, halves = self._scene.boxes.oriented(self._part.bodies)
        top = int(np.argmax(centres[:, 2]))
        turn, half = axes[top], halves[top]
        flat = [i for i in range(3) if abs(turn[2, i]) < 0.5]
        thin = turn[:, min(flat, key=lambda i: half[i])]
        yaw = np.arctan2(thin[1], thin[0]) - np.pi / 2
        yaw = (yaw + np.pi / 2) % np.pi - np.pi / 2
        anchor = self._part.anchor
        highest = float(self._part.upright()[:, 5].max())
        return np.array([anchor[0], anchor[1], highest - 0.014]), float(yaw)

    def _turn(self, attempt: int) -> Moves:
        hand = self._hand
        place, yaw = self._bar()
        way = float(np.sign(self._part.axis[2])) * (1 if self._part.goal.predicate == "turnon" else -1)
        yaw -= way * 0.3 * attempt
        over = np.array([*place[:2], max(place[2] + 0.08, min(hand.place[2], place[2] + 0.15))])
        pose = turned_about_up(yaw)
        yield from hand.go(over, pose, OPEN, 0.02, lean=False)
        yield from hand.go(place, pose, OPEN, 0.008, 30, lean=False)
        yield from hand.hold(place, pose, SHUT, 7)
        rolled = 0.0

        def rolling() -> Turn:
            nonlocal rolled
            rolled = float(np.clip(rolled + way * STEP, -MOST, MOST))
            return turned_about_up(yaw + rolled)

        yield from hand.go(place, rolling, SHUT, 0.0, 45, until=self._part.done, lean=False)
        yield from hand.rest(OPEN, 6)
        return self._part.done()
