"""An expert for one LIBERO episode: it goes through the task's goals in order, one skill each, until all hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from robo_reward.envs.libero_experts.door import Door
from robo_reward.envs.libero_experts.drawer import Drawer
from robo_reward.envs.libero_experts.hand import DOWN, OPEN, Action, Hand, Moves
from robo_reward.envs.libero_experts.knob import Knob
from robo_reward.envs.libero_experts.pick_place import PickAndPlace
from robo_reward.envs.libero_experts.plan import in_order, reached
from robo_reward.envs.libero_experts.push import Push, must_be_pushed
from robo_reward.envs.libero_experts.scene import Goal, Scene, Sim

Skill = Callable[[Scene, Hand, Goal], Moves]


class ScriptedExpert:
    """Acts for one episode, from wherever the simulation is when it is made; sees everything, needs no camera."""

    def __init__(self, sim: Sim) -> None:
        self._scene = Scene(sim)
        self._hand = Hand(self._scene)
        self._moves = self._episode()
        self.doing = ""
        """The goal it is at, for logs."""

    def action(self, sim: Sim | None = None) -> Action:
        """(7,) float32 OSC_POSE deltas and gripper in [-1, 1] for the present state; call it once a step.

        ``sim`` may be named to make sure that it is the one this expert was made for; another raises ValueError.
        """
        if sim is not None and sim is not self._scene.sim:
            raise ValueError("this expert was made for another simulation; make one per episode")
        return np.clip(next(self._moves), -1.0, 1.0)

    def _episode(self) -> Moves:
        """Goals in order, again while one does not hold; then it waits with open fingers."""
        while True:
            waiting = in_order(self._scene)
            if not waiting:
                self.doing = ""
                yield from self._hand.rest(OPEN, 1)
                continue
            for goal in waiting:
                if reached(self._scene, goal):
                    continue
                self.doing = " ".join(goal.words)
                yield from skill_for(self._scene, self._hand, goal)
            yield from self._hand.lift(0.06, DOWN, steps=8)


def skill_for(scene: Scene, hand: Hand, goal: Goal) -> Moves:
    """The moves that bring a goal about."""
    if must_be_pushed(scene, goal):
        return Push(scene, hand, goal).moves()
    if goal.predicate in ("on", "in", "aside"):
        return PickAndPlace(scene, hand, goal).moves()
    if goal.predicate in ("turnon", "turnoff"):
        return Knob(scene, hand, goal).moves()
    if scene.is_site(goal.thing):
        return Drawer(scene, hand, goal).moves()
    return Door(scene, hand, goal).moves()


def make_expert(sim: Sim) -> ScriptedExpert:
    """An expert for the episode that ``sim`` is at; make a new one after each reset."""
    return ScriptedExpert(sim)
