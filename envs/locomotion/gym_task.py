"""Gymnasium's Ant-v5 and Humanoid-v5 for many worlds at once: their observations, rewards, ends and starts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gymnasium import spaces

from robo_reward.contracts import Flags, Floats
from robo_reward.envs.locomotion.batched_sim import Array, BatchedSim, Indices
from robo_reward.envs.locomotion.counted_draws import Keys, between, normal
from robo_reward.envs.locomotion.gym_model import BodySensors
from robo_reward.envs.locomotion.task import EVERYWHERE, Judged, LocomotionTask, squares


@dataclass(frozen=True, slots=True)
class Walker:
    """The defaults of Gymnasium's constructor. ``healthy``: heights in metres; ``noise`` of starts."""

    forward: float
    control_cost: float
    contact_cost: float
    alive: float
    healthy: tuple[float, float]
    noise: float


ANT = Walker(forward=1.0, control_cost=0.5, contact_cost=5e-4, alive=1.0, healthy=(0.2, 1.0), noise=0.1)
HUMANOID = Walker(forward=1.25, control_cost=0.1, contact_cost=5e-7, alive=5.0, healthy=(1.0, 2.0), noise=0.01)
CONTACT_COST_LIMIT = 10.0
"""The Humanoid's contact cost counts up to this."""


class GymTask(LocomotionTask):
    """What both have in common. Actions in [-1, 1] are scaled to the actuators' range."""

    instruction = "walk forward as fast as you can"

    def __init__(self, sim: BatchedSim, name: str, walker: Walker, bodies: BodySensors) -> None:
        super().__init__(sim)
        self.name, self._walker, self._bodies = f"batched/{name}", walker, bodies
        limits = np.asarray(sim.model.actuator_ctrlrange)
        self._middle, self._reach = limits.mean(1), np.ptp(limits, axis=1) / 2
        self.action_space = spaces.Box(-1.0, 1.0, (int(sim.model.nu),), np.float32)
        self._start_pos: Array = np.array(sim.qpos[0])
        size = self._watch(slice(1)).shape[1]
        self.state_names = tuple(f"observation_{i}" for i in range(size))
        self._qpos, self._qvel = sim.qpos.copy(), sim.qvel.copy()
        self.memory = {"x": np.zeros(sim.num_worlds), "watched": np.zeros((sim.num_worlds, size), np.float32)}

    def prepare(self, where: Indices, keys: Keys) -> None:
        """Gymnasium's distribution of starts: noise on every position and velocity."""
        noise = self._walker.noise
        self._qpos[where] = self._start_pos + between(keys, -noise, noise, self.sim.model.nq, 1)
        self._qvel[where] = self._start_speed(keys)

    def begin(self, where: Indices) -> None:
        """Places the walkers, which feel no contact yet."""
        self.sim.place(where, self._qpos[where], self._qvel[where])
        self.sim.sensors[where] = self._at_start(where)
        self.memory["x"][where] = self._place(where)
        self.memory["watched"][where] = self._watch(where)

    def control(self, action: Array) -> Array:
        """(N, nu) within the actuators' range."""
        return np.asarray(self._middle + self._reach * action)

    def judge(self, action: Array) -> Judged:
        """Forward velocity and survival, less the costs of control and contacts."""
        walker, memory = self._walker, self.memory
        place = self._place(EVERYWHERE)
        speed = (place - memory["x"]) / self.sim.dt
        memory["x"][:] = place
        memory["watched"] = self._watch(EVERYWHERE)
        healthy = self._healthy()
        paid = walker.forward * speed + walker.alive * healthy
        cost = walker.control_cost * squares(self.control(action)) + self._contact_cost()
        return Judged(paid - cost, paid, ~healthy)

    def observe(self) -> Floats:
        """(N, S) as Gymnasium's, in float32."""
        return np.array(self.memory["watched"])

    def _at_start(self, where: Indices) -> Array:
        """(M, nsensordata) after a reset, where Gymnasium shows no contact yet."""
        sensors = self.sim.sense(where)
        sensors[:, self._bodies.contacts] = 0.0
        return sensors

    def _healthy(self) -> Flags:
        low, high = self._walker.healthy
        height = self.sim.qpos[:, 2]
        return np.asarray((low <= height) & (height <= high))

    def _filled(self, parts: Sequence[Array]) -> Floats:
        """(M, S) observations from their parts (M, ...), in float32."""
        sizes = [part[0].size for part in parts]
        found, first = np.empty((len(parts[0]), sum(sizes)), np.float32), 0
        for part, size in zip(parts, sizes, strict=True):
            found[:, first : first + size].reshape(part.shape)[...] = part
            first += size
        return found

    def _watched_wrenches(self) -> Floats:
        """(N, 6 B) of the last observations, which end with them."""
        return np.asarray(self.memory["watched"][:, -6 * self._bodies.count :])

    @abstractmethod
    def _start_speed(self, keys: Keys) -> Array:
        """(M, nv) velocities at the start."""

    @abstractmethod
    def _place(self, where: Indices | slice) -> Array:
        """(M,) the x in metres whose change is paid."""

    @abstractmethod
    def _watch(self, where: Indices | slice) -> Floats:
        """(M, S) observations."""

    @abstractmethod
    def _contact_cost(self) -> Array:
        """(N,) what touching things costs."""


class AntTask(GymTask):
    """Positions but x and y, velocities, and each body's contact wrench, clipped to [-1, 1] N and N m."""

    def _start_speed(self, keys: Keys) -> Array:
        return self._walker.noise * normal(keys, self.sim.model.nv, 2)

    def _place(self, where: Indices | slice) -> Array:
        return np.asarray(self.sim.qpos[where, 0])

    def _watch(self, where: Indices | slice) -> Floats:
        wrenches = self._bodies.contact_wrench(self.sim.sensors[where])
        np.clip(wrenches, -1.0, 1.0, out=wrenches)
        return self._filled([self.sim.qpos[where, 2:], self.sim.qvel[where], wrenches])

    def _contact_cost(self) -> Array:
        return np.asarray(self._walker.contact_cost * squares(self._watched_wrenches()))


class HumanoidTask(GymTask):
    """Positions but x and y, velocities, bodies' inertias and velocities, motor torques and contact wrenches."""

    def _start_speed(self, keys: Keys) -> Array:
        return between(keys, -self._walker.noise, self._walker.noise, self.sim.model.nv, 2)

    def _place(self, where: Indices | slice) -> Array:
        return self._bodies.com(self.sim.sensors[where])[:, 0]

    def _watch(self, where: Indices | slice) -> Floats:
        sim, bodies = self.sim, self._bodies
        sensors = sim.sensors[where]
        moving, motors, wrenches = bodies.motion(sensors), sensors[:, bodies.motors], bodies.contact_wrench(sensors)
        return self._filled([sim.qpos[where, 2:], sim.qvel[where], *moving, motors, wrenches])

    def _contact_cost(self) -> Array:
        cost = self._walker.contact_cost * squares(self._watched_wrenches())
        return np.asarray(np.minimum(cost, CONTACT_COST_LIMIT))
