"""Walking at a commanded velocity: observation, reward, termination and starts of the quadruped, all worlds at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from robo_reward.contracts import Flags, Floats
from robo_reward.envs.locomotion.actuation import DelayedTargets
from robo_reward.envs.locomotion.batched_sim import Array, BatchedSim, Indices
from robo_reward.envs.locomotion.counted_draws import Keys, uniform
from robo_reward.envs.locomotion.quadruped_model import FEET, STANDING
from robo_reward.envs.locomotion.quadruped_reward import Gait, Moment, RewardWeights, fraction, planar_error, rewards
from robo_reward.envs.locomotion.rotations import gravity_in_body, matrices, to_body, yaw_quaternion
from robo_reward.envs.locomotion.task import EVERYWHERE, Judged, LocomotionTask
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
FRAME = 50
"""Numbers in one observation without history."""
SCALE: NDArray[np.float32] = np.repeat(
    np.array([2.0, 0.25, 1.0, 2.0, 1.0, 1.0, 0.05, 1.0], np.float32), (3, 3, 3, 2, 1, 12, 12, 14)
)
"""(50,) of the numbers in an observation."""


@dataclass(frozen=True, slots=True)
class Commands:
    """Ranges of the commanded velocities: ``forward`` and ``sideways`` in m/s, ``turn`` in rad/s, body axes."""

    forward: tuple[float, float] = (0.3, 0.8)
    sideways: tuple[float, float] = (0.0, 0.0)
    turn: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        for name in ("forward", "sideways", "turn"):
            low, high = getattr(self, name)
            if not -2.0 <= low <= high <= 2.0:
                raise UserError(f"env.{name}=[{low}, {high}] must be two rising velocities within -2 and 2")

    def of(self, draws: Array) -> Array:
        """(M, 3) commands from uniform draws (M, 3) in [0, 1)."""
        low, high = np.array([self.forward, self.sideways, self.turn]).T
        return np.asarray(low + (high - low) * draws)


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
        self.name, self._ground, self._commands, self._targets = f"quadruped/{name}", ground, commands, targets
        self._gait, self._weights = gait, weights
        self.task_reward_bound = weights.task_bound * sim.dt
        self.action_space = spaces.Box(-1.0, 1.0, (12,), np.float32)
        self.state_names = tuple(f"{part}_{ago}" for ago in range(history) for part in _frame_names())
        self._touch = sim.sensors_of([f"{foot}_touch" for foot in FEET])
        self._foot_pos = sim.sensors_of([f"{foot}_pos" for foot in FEET])
        n = sim.num_worlds
        self.memory = {
            "command": np.zeros((n, 3)),
            "phase": np.zeros(n),
            "action": np.zeros((n, 12)),
            "before": np.zeros((n, 12)),
            "queue": np.zeros((n, targets.depth, 12)),
            "delay": np.zeros(n, np.int64),
            "error": np.zeros(n),
            "steps": np.zeros(n, np.int64),
            "fallen": np.zeros(n, np.bool_),
            "frames": np.zeros((n, history, FRAME), np.float32),
        }

    def begin(self, where: Indices, keys: Keys) -> None:
        """Places robots anywhere, looking anywhere, nearly standing, with a command each."""
        memory, draws = self.memory, uniform(keys, 38)
        either_way = 2.0 * draws - 1.0
        qpos = np.zeros((len(where), 19))
        qpos[:, :2] = 2.0 * either_way[:, :2]
        qpos[:, 2] = 0.29 + self._highest_near(qpos[:, :2])
        # slopes and stairs run along x: who looks anywhere meets them upwards, downwards and across
        qpos[:, 3:7] = yaw_quaternion(np.pi * either_way[:, 2])
        qpos[:, 7:] = STANDING + 0.1 * either_way[:, 3:15]
        qvel = 0.1 * either_way[:, 15:33]
        self.sim.place(where, qpos, qvel)
        memory["command"][where] = self._commands.of(draws[:, 33:36])
        memory["phase"][where] = draws[:, 36]
        memory["delay"][where] = self._targets.delays(draws[:, 37])
        memory["queue"][where] = STANDING
        for name in ("action", "before", "error", "steps", "fallen"):
            memory[name][where] = 0
        memory["frames"][where] = self._first_frames(where, qpos, qvel)[:, None]

    def control(self, action: Array) -> Array:
        """Joint targets, late by each world's latency."""
        memory = self.memory
        memory["before"], memory["action"] = memory["action"], memory["before"]
        memory["action"][:] = action
        self._targets.push(memory["queue"], STANDING + REACH * action)
        return self._targets.controls(memory["queue"], memory["delay"])

    def judge(self, action: Array) -> Judged:
        """Pays for the commanded velocity, less for how it was reached; a fall terminates."""
        memory, sim = self.memory, self.sim
        if not self._ground.even:
            sim.qpos[:, :2] = self._ground.carried_back(sim.qpos[:, :2])
        memory["phase"][:] = fraction(memory["phase"] + self._gait.frequency * sim.dt)
        moment = self._moment()
        off = planar_error(moment)
        reward, task = rewards(moment, off, self._gait, self._weights)
        memory["steps"] += 1
        memory["error"] += np.sqrt(off)
        fallen = (moment.height < LOWEST) | (moment.gravity[:, 2] > -UPRIGHT)
        memory["fallen"][:] = fallen
        frames = memory["frames"]
        if frames.shape[1] > 1:
            frames[:, 1:] = frames[:, :-1].copy()
        _show(frames[:, 0], moment)
        return Judged(reward * sim.dt, task * sim.dt, fallen)

    def observe(self, where: Indices | slice = EVERYWHERE) -> Floats:
        """(M, history x 50)."""
        frames = self.memory["frames"][where]
        return np.array(frames.reshape(len(frames), -1), np.float32)

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

    def _moment(self) -> Moment:
        sim, memory = self.sim, self.memory
        qpos, qvel, sensors = sim.qpos, sim.qvel, sim.sensors
        turn, feet = matrices(qpos[:, 3:7]), sensors[:, self._foot_pos].reshape(-1, 4, 3)
        height, clearance = qpos[:, 2], feet[:, :, 2]
        if not self._ground.even:
            height = height - self._ground.height(qpos[:, :2])
            clearance = clearance - self._ground.height(feet[:, :, :2].reshape(-1, 2)).reshape(-1, 4)
        return Moment(
            velocity=to_body(turn, qvel[:, :3]),
            turning=qvel[:, 3:6],
            gravity=gravity_in_body(turn),
            height=height,
            command=memory["command"],
            joints=qpos[:, 7:] - STANDING,
            joint_speed=qvel[:, 6:],
            action=memory["action"],
            action_before=memory["before"],
            contact=sensors[:, self._touch] > 1.0,
            clearance=clearance,
            phase=memory["phase"],
        )

    def _first_frames(self, where: Indices, qpos: Array, qvel: Array) -> Array:
        """(M, 50) of worlds ``where``, whose robots stand at their starts; the last action counts as zero."""
        turn, angle = matrices(qpos[:, 3:7]), (2.0 * np.pi) * self.memory["phase"][where]
        frame = np.zeros((len(where), FRAME))
        frame[:, :3], frame[:, 3:6] = to_body(turn, qvel[:, :3]), qvel[:, 3:6]
        frame[:, 6:9], frame[:, 9:12] = gravity_in_body(turn), self.memory["command"][where]
        frame[:, 12:24], frame[:, 24:36] = qpos[:, 7:] - STANDING, qvel[:, 6:]
        frame[:, 48], frame[:, 49] = np.sin(angle), np.cos(angle)
        return frame * SCALE

    def _highest_near(self, xy: Array) -> Array:
        """(M,) the highest ground under a robot's length, so that nobody starts inside it."""
        if self._ground.even:
            return np.zeros(len(xy))
        around = [(dx, dy) for dx in (-0.25, 0.0, 0.25) for dy in (-0.25, 0.0, 0.25)]
        heights: NDArray[np.float64] = np.stack([self._ground.height(xy + offset) for offset in around])
        return np.asarray(heights.max(axis=0))


def _show(frame: Floats, now: Moment) -> None:
    """Writes the observation (N, 50) of a moment."""
    angle = (2.0 * np.pi) * now.phase[:, None]
    parts = (
        now.velocity,
        now.turning,
        now.gravity,
        now.command,
        now.joints,
        now.joint_speed,
        now.action,
        np.sin(angle),
        np.cos(angle),
    )
    np.concatenate(parts, axis=1, out=frame, casting="same_kind")
    frame *= SCALE


def _frame_names() -> tuple[str, ...]:
    joints = [f"{leg}_{joint}" for leg in FEET for joint in ("abduction", "hip", "knee")]
    axes = [f"{what}_{axis}" for what in ("velocity", "turning", "gravity", "command") for axis in "xyz"]
    parts = [f"{what}_{joint}" for what in ("angle", "speed", "action") for joint in joints]
    return (*axes, *parts, "clock_sine", "clock_cosine")
