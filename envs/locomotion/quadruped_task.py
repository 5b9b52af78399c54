"""Walking at a commanded velocity: observation, reward, termination and starts of the quadruped, all worlds at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from robo_reward.contracts import Flags, Floats
from robo_reward.envs.locomotion.actuation import DelayedTargets
from robo_reward.envs.locomotion.batched_sim import Array, BatchedSim, Indices
from robo_reward.envs.locomotion.counted_draws import Keys
from robo_reward.envs.locomotion.quadruped_model import FEET, STANDING
from robo_reward.envs.locomotion.quadruped_reward import Gait, Moment, RewardWeights, planar_error, rewards
from robo_reward.envs.locomotion.quadruped_sight import SCALE, SIZE, Sight, look, number_names
from robo_reward.envs.locomotion.quadruped_starts import Commands, Starts
from robo_reward.envs.locomotion.rotations import matrices
from robo_reward.envs.locomotion.task import Judged, LocomotionTask
from robo_reward.envs.locomotion.terrain import Ground
from robo_reward.errors import UserError

REACH: Array = np.tile([0.25, 0.6, 0.6], 4)
"""Radians by which an action of 1 moves the joints' targets away from the standing pose."""
LOWEST = 0.14
"""Metres of the trunk's middle above the ground below which the robot has fallen."""
UPRIGHT = 0.5
"""Least cosine of the trunk's tilt: more than 60 degrees is a fall."""
TRACKED = 0.2
"""Metres per second: a success survives the episode with a smaller mean velocity error."""


class QuadrupedTask(LocomotionTask):
    """Position targets for 12 joints around the standing pose; ``history`` observations, the newest first, are shown.

    One observation has 50 numbers, in the body's axes where they have any: velocity (x 2) and angular velocity (x 1/4)
    of the trunk, direction of gravity, command (x 2, 2, 1), joint angles less the standing pose, joint velocities
    (x 1/20), the last action, sine and cosine of the gait's clock. Success: no fall, and a mean error of the planar
    velocity below 0.2 m/s.
    """

    instruction = "walk at the commanded velocity"
    has_success_test = True

    def __init__(
        self,
        sim: BatchedSim,
        name: str,
        ground: Ground,
        commands: Commands,
        targets: DelayedTargets,
        gait: Gait,
        weights: RewardWeights,
        history: int = 1,
    ) -> None:
        if not 1 <= history <= 50:
            raise UserError(f"env.history={history} must be 1 to 50 observations")
        super().__init__(sim)
        self.name, self._ground, self._targets = f"quadruped/{name}", ground, targets
        self._starts, self._gait, self._weights = Starts(commands), gait, weights
        self._pace = gait.frequency * sim.dt
        self.task_reward_bound = weights.task_bound * sim.dt
        self.action_space = spaces.Box(-1.0, 1.0, (12,), np.float32)
        self.state_names = tuple(f"{part}_{ago}" for ago in range(history) for part in number_names())
        self._touch = sim.sensors_of([f"{foot}_touch" for foot in FEET])
        self._foot_pos = sim.sensors_of([f"{foot}_pos" for foot in FEET])
        n = sim.num_worlds
        self.memory = {
            "command": np.zeros((n, 3)),
            "phase": np.zeros(n),
            "action": np.zeros((n, 12)),
            "queue": np.zeros((n, targets.depth, 12)),
            "delay": np.zeros(n, np.int64),
            "error": np.zeros(n),
            "steps": np.zeros(n),
            "fallen": np.zeros(n, np.bool_),
            "frames": np.zeros((n, history, SIZE), np.float32),
        }
        self._qpos, self._qvel = np.zeros((n, 19)), np.zeros((n, 18))
        self._ready: dict[str, NDArray[Any]] = {
            "command": np.zeros((n, 3)),
            "phase": np.zeros(n),
            "delay": np.zeros(n, np.int64),
            "frames": np.zeros((n, 1, SIZE), np.float32),
        }

    def prepare(self, where: Indices, keys: Keys) -> None:
        """Robots anywhere, looking anywhere, nearly standing, with a command each."""
        ready, start = self._ready, self._starts.of(keys)
        start.qpos[:, 2] += self._highest_near(start.qpos[:, :2])
        still, first = np.zeros((len(where), 12)), np.empty((len(where), SIZE))
        look(start.qpos, start.qvel, start.command, still, start.phase).write(first)
        self._qpos[where], self._qvel[where] = start.qpos, start.qvel
        ready["command"][where], ready["phase"][where] = start.command, start.phase
        ready["delay"][where] = self._targets.delays(start.latency)
        ready["frames"][where, 0] = first * SCALE

    def begin(self, where: Indices) -> None:
        """Places the robots."""
        memory = self.memory
        self.sim.place(where, self._qpos[where], self._qvel[where])
        for name, rows in self._ready.items():
            memory[name][where] = rows[where]
        memory["queue"][where] = STANDING
        for name in ("action", "error", "steps", "fallen"):
            memory[name][where] = 0

    def control(self, action: Array) -> Array:
        """Joint targets, late by each world's latency."""
        return self._targets.controls(STANDING + REACH * action, self.memory["queue"], self.memory["delay"])

    def judge(self, action: Array) -> Judged:
        """Pays for the commanded velocity, less for how it was reached; a fall terminates."""
        memory, sim = self.memory, self.sim
        if not self._ground.even:
            sim.qpos[:, :2] = self._ground.carried_back(sim.qpos[:, :2])
        memory["phase"] += self._pace
        memory["phase"] -= np.floor(memory["phase"])
        moment = self._moment(action)
        off = planar_error(moment)
        reward, task = rewards(moment, off, self._gait, self._weights)
        memory["steps"] += 1
        memory["error"] += np.sqrt(off)
        fallen = (moment.height < LOWEST) | (moment.sight.gravity[:, 2] > -UPRIGHT)
        memory["fallen"][:] = fallen
        self._show(moment.sight)
        return Judged(reward * sim.dt, task * sim.dt, fallen)

    def observe(self) -> Floats:
        """(N, history x 50)."""
        frames = self.memory["frames"]
        return np.array(frames.reshape(len(frames), -1))

    def success(self) -> Flags:
        """(N,) no fall so far and a mean error below 0.2 m/s."""
        memory = self.memory
        return np.asarray(~memory["fallen"] & (self.mean_error() < TRACKED) & (memory["steps"] > 0))

    def mean_error(self) -> Array:
        """(N,) mean distance in m/s of the planar velocity from its command, over the episodes so far."""
        return np.asarray(self.memory["error"] / np.maximum(self.memory["steps"], 1))

    def headings(self) -> Array:
        """(N,) radians that the trunks are turned about the vertical."""
        forward = matrices(self.sim.qpos[:, 3:7])[:, :, 0]
        return np.asarray(np.arctan2(forward[:, 1], forward[:, 0]))

    def _moment(self, action: Array) -> Moment:
        sim, memory = self.sim, self.memory
        qpos, sensors = sim.qpos, sim.sensors
        jerk = action - memory["action"]
        memory["action"] = action
        sight = look(qpos, sim.qvel, memory["command"], action, memory["phase"])
        feet = sensors[:, self._foot_pos].reshape(-1, 4, 3)
        height, clearance = qpos[:, 2], feet[:, :, 2]
        if not self._ground.even:
            height = height - self._ground.height(qpos[:, :2])
            clearance = clearance - self._ground.height(feet[:, :, :2].reshape(-1, 2)).reshape(-1, 4)
        return Moment(sight, jerk, height, clearance, sensors[:, self._touch] > 1.0)

    def _show(self, sight: Sight) -> None:
        """Puts a sight in front of the older ones."""
        frames = self.memory["frames"]
        if frames.shape[1] > 1:
            frames[:, 1:] = frames[:, :-1].copy()
        sight.write(frames[:, 0])
        frames[:, 0] *= SCALE

    def _highest_near(self, xy: Array) -> Array:
        """(M,) the highest ground under a robot's length, so that nobody starts inside it."""
        if self._ground.even:
            return np.zeros(len(xy))
        around = [(dx, dy) for dx in (-0.25, 0.0, 0.25) for dy in (-0.25, 0.0, 0.25)]
        heights: NDArray[np.float64] = np.stack([self._ground.height(xy + offset) for offset in around])
        return np.asarray(heights.max(axis=0))
