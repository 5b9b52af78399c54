"""What an expert may know of a LIBERO task: MuJoCo's model and data, the goals, and where each named thing is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.libero_experts.boxes import CollisionBoxes
from robo_reward.errors import UserError

if TYPE_CHECKING:
    import mujoco

Place = NDArray[np.float64]
Turn = NDArray[np.float64]


class Facts(Protocol):
    """What the task file says."""

    @property
    def goals(self) -> Sequence[Sequence[str]]:
        """Predicates with their arguments, ``("on", "bowl_1", "plate_1")``; all must hold."""
        ...


class Sim(Protocol):
    """A LIBERO simulation, such as ``robo_reward.envs.libero.sim.LiberoSim``."""

    @property
    def facts(self) -> Facts: ...

    model: mujoco.MjModel
    data: mujoco.MjData
    robosuite: Any
    """The published environment: it tests single predicates by ``_eval_predicate``."""


@dataclass(frozen=True)
class Goal:
    """One predicate: ``on`` and ``in`` have a target; ``open``, ``close``, ``turnon`` and ``turnoff`` have none."""

    predicate: str
    thing: str
    target: str = ""

    @classmethod
    def of(cls, words: Sequence[str]) -> Goal:
        """From upstream's list of words."""
        return cls(words[0].lower(), *words[1:])

    @property
    def words(self) -> list[str]:
        """As upstream's predicates take it."""
        return [self.predicate, self.thing, *([self.target] if self.target else [])]


class Scene:
    """Named bodies, sites and joints of a simulation, and its collision boxes; metres, in the world's frame."""

    def __init__(self, sim: Sim) -> None:
        self.sim, self.model, self.data = sim, sim.model, sim.data
        self.goals = [Goal.of(words) for words in sim.facts.goals]
        self.boxes = CollisionBoxes(sim.model, sim.data)

    def holds(self, goal: Goal) -> bool:
        """Whether a goal is reached now, by upstream's own test."""
        return bool(self.sim.robosuite._eval_predicate(goal.words))

    def body(self, name: str) -> int:
        """Number of a thing's root body."""
        for full in (f"{name}_main", name):
            found = self._id("BODY", full)
            if found >= 0:
                return found
        raise UserError(f"the LIBERO scene has no body '{name}' that an expert could handle")

    def is_site(self, name: str) -> bool:
        """Whether a goal's target is a region instead of a thing."""
        return self._id("SITE", name) >= 0

    def site(self, name: str) -> int:
        """Number of a region's site."""
        return self._id("SITE", name)

    def place(self, body: int) -> Place:
        """(3,) where a body is."""
        return np.array(self.data.xpos[body])

    def region(self, name: str) -> tuple[Place, Place]:
        """Centre (3,) and half size (3,) of a region in the world's axes, as upstream reckons them."""
        site = self.site(name)
        turn = self.data.site_xmat[site].reshape(3, 3)
        return np.array(self.data.site_xpos[site]), np.abs(turn @ self.model.site_size[site])

    def joint(self, name: str) -> int:
        """Number of the hinge or slide that a region (drawer) or fixture (stove, microwave) moves by."""
        if self.is_site(name):
            body = int(self.model.site_bodyid[self.site(name)])
            while body and self.model.body_jntnum[body] == 0:
                body = int(self.model.body_parentid[body])
            bodies = [body]
        else:
            bodies = sorted(self.boxes.tree(self.body(name)))
        for each in bodies:
            if self.model.body_jntnum[each]:
                return int(self.model.body_jntadr[each])
        raise UserError(f"the LIBERO fixture '{name}' has no joint that an expert could move")

    def joint_value(self, joint: int) -> float:
        """Metres or radians of a joint."""
        return float(self.data.qpos[self.model.jnt_qposadr[joint]])

    def _id(self, kind: str, name: str) -> int:
        import mujoco

        objects: Any = mujoco.mjtObj
        return int(mujoco.mj_name2id(self.model, getattr(objects, f"mjOBJ_{kind}"), name))
