"""What a person can say while a policy acts: stop, pause, quit, or take over."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robo_reward.real_robot.arm_client import ArmView


class Say(StrEnum):
    """NOTHING: the policy goes on. HOLD: a pause. GOAL: the arm follows ``Wish.goal``. END: the episode ends."""

    NOTHING = "nothing"
    HOLD = "hold"
    GOAL = "goal"
    END = "end"
    ESTOP = "estop"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person says in this period; ``goal`` (J,) with GOAL, ``reason`` for the record.

    ``done``: the task is done now, in the person's eyes.
    """

    say: Say
    reason: str = ""
    goal: NDArray[np.float64] | None = None
    done: bool = False


NOTHING = Wish(Say.NOTHING)


DONE_KEY, DONE_PERIODS = "s", 9


class Done:
    """The key s: the task is done. So many more periods are kept as such, then the episode ends."""

    def __init__(self) -> None:
        self._left: int | None = None

    def press(self) -> None:
        """From now on."""
        self._left = DONE_PERIODS if self._left is None else self._left

    def mark(self, wish: Wish) -> Wish:
        """The wish of this period with the word on it."""
        if self._left is None:
            return wish
        if self._left == 0:
            self._left = None  # the next episode is another one
            return Wish(Say.END, "done, says a person")
        self._left -= 1
        return replace(wish, done=True)


class Hand(Protocol):
    """A keyboard or a leader arm; asked once a period, never waiting."""

    def wish(self, view: ArmView) -> Wish:
        """What the person wants, while the arm is as ``view`` says. May raise: then the arm is held."""
        ...
