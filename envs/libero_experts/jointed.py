"""What drawers, knobs and doors share: a fixture's part that turns or slides on one joint."""

from __future__ import annotations

import numpy as np

from robo_reward.envs.libero_experts.hand import Hand
from robo_reward.envs.libero_experts.scene import Goal, Place, Scene

TRIES = 3


class Part:
    """The moving part that a goal such as ``open`` names."""

    def __init__(self, scene: Scene, hand: Hand, goal: Goal) -> None:
        self.scene, self.hand, self.goal = scene, hand, goal
        self.joint = scene.joint(goal.thing)
        self.body = int(scene.model.jnt_bodyid[self.joint])
        self.bodies = scene.boxes.tree(self.body)

    @property
    def value(self) -> float:
        """Metres or radians of the joint."""
        return self.scene.joint_value(self.joint)

    @property
    def range(self) -> tuple[float, float]:
        """The joint's ends."""
        low, high = self.scene.model.jnt_range[self.joint]
        return float(low), float(high)

    @property
    def opening_sign(self) -> float:
        """1 where the joint's value grows while it opens, else -1."""
        low, high = self.range
        return 1.0 if abs(high) > abs(low) else -1.0

    @property
    def axis(self) -> Place:
        """(3,) the joint's axis in the world."""
        return np.array(self.scene.data.xaxis[self.joint])

    @property
    def anchor(self) -> Place:
        """(3,) a point on the joint's axis."""
        return np.array(self.scene.data.xanchor[self.joint])

    def done(self) -> bool:
        """Whether the goal holds."""
        return self.scene.holds(self.goal)

    def upright(self) -> Place:
        """(G, 6) lowest and highest corners of the part's boxes."""
        return self.scene.boxes.upright(self.bodies)
