"""What a person can say while a policy acts: stop, pause, quit, or take over."""

from __future__ import annotations

from dataclasses import dataclass
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
    """What a person says in this period; ``goal`` (J,) with GOAL, ``reason`` for the record."""

    say: Say
    reason: str = ""
    goal: NDArray[np.float64] | None = None


NOTHING = Wish(Say.NOTHING)


class Hand(Protocol):
    """A keyboard or a leader arm; asked once a period, never waiting."""

    def wish(self, view: ArmView) -> Wish:
        """What the person wants, while the arm is as ``view`` says. May raise: then the arm is held."""
        ...
