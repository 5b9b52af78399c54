"""A simulated person at an emulated arm: watches the twin, takes over when nothing comes of it, shows how it is done.

What it knows of the twin, a person would see; nothing of it but its hand and its word that the task is done reaches
whoever learns. Every intervention counts, as a person's would.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robo_reward.errors import UserError
from robo_reward.real_robot.arm_client import ArmView
from robo_reward.real_robot.deploy.hand import NOTHING, Say, Wish

DONE, GIVEN_UP = "done, says the operator", "given up by the operator"


@dataclass(frozen=True)
class OperatorPlan:
    """Seconds and metres. Takes over once it got no ``gain`` nearer for ``patience``; ``delay``: a person's reaction.

    Leads until the task is done and for ``hold`` more, which it calls done, or for ``most``. ``every``: is there in
    every so manyth episode of practice, and looks away in the others; 0: in none.
    """

    patience: float = 1.0
    gain: float = 0.005
    delay: float = 0.2
    hold: float = 0.3
    most: float = 6.0
    every: int = 1

    def __post_init__(self) -> None:
        if min(self.patience, self.gain, self.hold, self.most) <= 0 or self.delay < 0 or self.every < 0:
            raise UserError(
                f"operator: patience={self.patience}, gain={self.gain}, hold={self.hold}, most={self.most} must be "
                f"above 0, delay={self.delay} and every={self.every} at least 0"
            )


class ScriptedOperator:
    """``twin``: an ``EmulatedProcess``; ``joints``: LeRobot's keys in the policy's order; ``fps`` periods a second."""

    def __init__(self, twin: Any, joints: Sequence[str], fps: float, plan: OperatorPlan) -> None:
        if twin is None:
            raise UserError(
                "the simulated operator sits at an emulated arm only: at a real one it is teleop=so101_leader or "
                "keyboard"
            )
        self._twin, self._joints, self._fps, self._plan = twin, [key.removesuffix(".pos") for key in joints], fps, plan
        self.begin("practice", 0)

    def begin(self, role: str, number: int) -> None:
        """The next episode: ``role`` "demonstration" leads all of it, "evaluation" none, "practice" where needed."""
        every = self._plan.every
        self._leads_all = role == "demonstration"
        self._there = self._leads_all or (role == "practice" and every > 0 and number % every == 0)
        self._left: deque[float] = deque(maxlen=max(2, round((self._plan.patience + self._plan.delay) * self._fps)))
        self._leading = self._leads_all
        self._fresh, self._led, self._held, self._done = True, 0, 0, False

    @property
    def gave_up(self) -> bool:
        """Whether it led last and the task is not done, be it that time was up: a person puts things back then."""
        return self._leading and not self._done

    def wish(self, view: ArmView) -> Wish:
        """Nothing while it goes well; else the expert's next goal, and the end once it is done."""
        if not self._there:
            return NOTHING
        seen = self._twin.ask("look")
        if not self._leading and self._hopeless(float(seen["left"]), bool(seen["success"])):
            self._leading, self._fresh, self._led = True, True, 0
        if not self._leading:
            return NOTHING
        return self._lead(view, bool(seen["success"]))

    def _hopeless(self, left: float, success: bool) -> bool:
        self._left.append(left)
        full = len(self._left) == self._left.maxlen
        return full and not success and min(self._left) > self._left[0] - self._plan.gain

    def _lead(self, view: ArmView, success: bool) -> Wish:
        self._led += 1
        self._held += success
        self._done = success
        if self._held > self._plan.hold * self._fps:
            return Wish(Say.END, DONE)
        if self._led > self._plan.most * self._fps:
            return Wish(Say.END, GIVEN_UP)
        last = [view.goal[name] for name in self._joints]
        goal = np.array(self._twin.ask("expert_goal", last=last, fresh=self._fresh), np.float64)
        self._fresh = False
        return Wish(Say.GOAL, "operator", goal, done=success)
