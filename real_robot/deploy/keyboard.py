"""A person at the terminal while a policy acts: space holds and lets go, q ends the episode, x stops everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from robo_reward.real_robot.arm_client import ArmView
from robo_reward.real_robot.deploy.hand import DONE_KEY, NOTHING, Done, Say, Wish

HELP = (
    "space: hold, again: go on; h: by hand, again: the policy; 1-6 choose a joint, +/- move it; s: done; q: end; "
    "x: torque off"
)
STEP = 2.0
"""Units of the joint per key; a terminal repeats a key some 30 times a second."""
AHEAD = 10.0
"""Units that a goal by hand runs ahead of the arm at most."""


class Keyboard:
    """``joints``: LeRobot's keys in the policy's order; ``keys`` gives what was pressed since it was last asked."""

    def __init__(self, joints: Sequence[str], keys: Callable[[], str]) -> None:
        self._joints = [key.removesuffix(".pos") for key in joints]
        self._keys = keys
        self._holding = self._by_hand = False
        self._chosen = 0
        self._goal: NDArray[np.float64] | None = None
        self._done = Done()

    def wish(self, view: ArmView) -> Wish:
        """What the keys since the last period say; the goal by hand begins where the arm is sent now."""
        for key in self._keys():
            if key == "x":
                return Wish(Say.ESTOP, "key x")
            if key == "q":
                return Wish(Say.END, "ended by a person")
            self._hear(key, view)
        if self._holding:
            return Wish(Say.HOLD, "held by a person")
        if self._by_hand and self._goal is not None:
            return self._done.mark(Wish(Say.GOAL, "keyboard", self._goal))
        return self._done.mark(NOTHING)

    def _hear(self, key: str, view: ArmView) -> None:
        if key == DONE_KEY:
            self._done.press()
        elif key == " ":
            self._holding = not self._holding
            self._goal = self._sent(view)
        elif key == "h":
            self._by_hand, self._goal = not self._by_hand, self._sent(view)
        elif key.isdigit() and 1 <= int(key) <= len(self._joints):
            self._chosen = int(key) - 1
        elif key in "+-=_" and self._by_hand and self._goal is not None:
            sent = self._sent(view)
            moved = self._goal.copy()
            moved[self._chosen] += STEP if key in "+=" else -STEP
            self._goal = np.clip(moved, sent - AHEAD, sent + AHEAD)

    def _sent(self, view: ArmView) -> NDArray[np.float64]:
        return np.array([view.goal[name] for name in self._joints], np.float64)
