"""A leader arm that takes over: the person moves it, the follower goes along; the policy goes on when it is let go."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError
from robo_reward.real_robot.arm_client import ArmView
from robo_reward.real_robot.deploy.hand import DONE_KEY, NOTHING, Done, Say, Wish
from robo_reward.real_robot.safety_state import SafetyStop

TRIES = 3
NEAR = 5.0
"""Units between leader and follower, in each joint, from which on the follower goes along."""


class Leader:
    """``teleop``: a LeRobot teleoperator with ``.pos`` actions. A context manager that connects it.

    ``keys`` gives the keys since it was last asked: "i" asks to take over and hands back, "s" says that the task is
    done, "q" ends the episode, "x" cuts torque. On taking over the follower is held until the person has brought the
    leader to within 5 units of it in each joint: it never jumps to where the leader happens to lie. A leader that
    cannot be read while it leads stops the arm; the policy does not take over by itself.
    """

    def __init__(self, teleop: Any, joints: Sequence[str], keys: Callable[[], str]) -> None:
        self._teleop, self._joints, self._keys = teleop, tuple(joints), keys
        self._asked = self._leads = False
        self._done = Done()

    def __enter__(self) -> Self:
        self._connect()
        missing = sorted(set(self._joints) - set(self._teleop.action_features))
        if missing:
            self._teleop.disconnect()
            raise UserError(f"the leader arm lacks the joints {missing}")
        return self

    def _connect(self) -> None:
        """LeRobot configures a leader with some twenty writes and tries none of them twice."""
        for turn in range(TRIES):
            try:
                self._teleop.connect()
                return
            except Exception as error:
                with contextlib.suppress(Exception):
                    self._teleop.disconnect()
                if turn == TRIES - 1:
                    raise UserError(f"the leader arm cannot be connected: {error}") from error

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if self._teleop.is_connected:
                self._teleop.disconnect()
        except Exception as unplugged:  # LeRobot writes to the motors first; the reason of the end is another one
            print(f"the leader arm could not be disconnected: {unplugged}", file=sys.stderr)

    def hearing(self, keys: Callable[[], str]) -> Leader:
        """The same, connected device with other keys; this one's context closes it."""
        return Leader(self._teleop, self._joints, keys)

    def wish(self, view: ArmView) -> Wish:
        """HOLD while the leader is brought to the follower, then its goals, until the person hands back."""
        for key in self._keys():
            if key == "x":
                return Wish(Say.ESTOP, "key x")
            if key == "q":
                return Wish(Say.END, "ended by a person")
            if key == DONE_KEY:
                self._done.press()
            if key == "i":
                self._asked = not self._asked
                self._leads = False
        if not self._asked:
            return self._done.mark(NOTHING)
        goal = self._read()
        away = np.abs(goal - np.array([view.goal[key.removesuffix(".pos")] for key in self._joints]))
        if not self._leads and away.max() > NEAR:
            worst = self._joints[int(np.argmax(away))]
            return Wish(Say.HOLD, f"bring the leader to the follower: '{worst}' is {away.max():.0f} away")
        if not self._leads:
            print("\nthe leader leads", file=sys.stderr)
        self._leads = True
        return self._done.mark(Wish(Say.GOAL, "leader arm", goal))

    def _read(self) -> NDArray[np.float64]:
        try:
            said = self._teleop.get_action()
            return np.array([float(said[key]) for key in self._joints], np.float64)
        except Exception as error:
            raise SafetyStop(f"the leader arm was lost while it led: {error}") from error
