"""A point hand that pushes nothing and carries an object when its gripper is closed on it; all by hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Landmarks
from robo_reward.trace import Trace

LANDMARKS = Landmarks(hand=0, object=3, goal=6)
SPEED = 0.02
"""Metres per step at full action."""
HAND, OBJECT, GOAL = np.array([0.0, 0.0, 0.2]), np.array([0.1, 0.0, 0.0]), np.array([0.1, 0.2, 0.0])
Array = NDArray[np.float64]


class PointWorld:
    """State (9,): hand, object, goal in metres. Action (4,): direction, and gripper (> 0 closes)."""

    def __init__(self, hand: Array = HAND, thing: Array = OBJECT, goal: Array = GOAL) -> None:
        self.hand, self.object, self.goal = hand.copy(), thing.copy(), goal.copy()

    @property
    def state(self) -> NDArray[np.float32]:
        return np.concatenate([self.hand, self.object, self.goal]).astype(np.float32)

    def step(self, action: NDArray[np.float32]) -> None:
        moved = SPEED * np.clip(action[:3], -1, 1)
        if action[3] > 0 and np.linalg.norm(self.hand - self.object) < 0.02:
            self.object = self.object + moved
        self.hand = self.hand + moved

    @property
    def distance(self) -> float:
        return float(np.linalg.norm(self.object - self.goal))


def walk(world: PointWorld, target: Array, gripper: float) -> list[NDArray[np.float32]]:
    """Full-speed actions along the straight line to ``target``."""
    actions = []
    while (gap := np.linalg.norm(target - world.hand)) > 1e-6:
        direction = (target - world.hand) / max(gap, SPEED)
        actions.append(np.array([*direction, gripper], np.float32))
        world.step(actions[-1])
    return actions


def demonstration() -> Trace:
    """Down to the object, two steps to close the gripper, over to the goal, three steps of rest."""
    planned = PointWorld()
    actions = walk(planned, OBJECT, -1.0)
    actions += [np.array([0, 0, 0, 1], np.float32)] * 2
    for action in actions[-2:]:
        planned.step(action)
    actions += walk(planned, GOAL, 1.0)
    success = len(actions)
    actions += [np.array([0, 0, 0, 1], np.float32)] * 3
    return played(actions, success)


def contact_step() -> int:
    """The step at which the object starts to move, by the plan above: the way down, and two steps of closing."""
    return int(np.ceil(np.linalg.norm(OBJECT - HAND) / SPEED)) + 2


def played(actions: list[NDArray[np.float32]], success: int | None) -> Trace:
    world, states = PointWorld(), [PointWorld().state]
    for action in actions:
        world.step(action)
        states.append(world.state)
    return Trace(
        "carry",
        np.stack(states),
        np.stack(actions),
        {},
        np.zeros(0, np.int64),
        10.0,
        "demonstration" if success is not None else "random",
        success=None if success is None else np.arange(len(states)) >= success,
    )


def random_episodes(count: int = 4, steps: int = 40) -> list[Trace]:
    rng = np.random.default_rng(0)
    return [played(list(rng.uniform(-1, 1, (steps, 4)).astype(np.float32)), None) for _ in range(count)]
