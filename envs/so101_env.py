"""The SO-101 twin as a world: LeRobot's keys, units and rate, so that what is learned here fits the arm."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from robo_reward.contracts import Floats, Landmarks, Observation, Oracle
from robo_reward.envs.rendering import Profile
from robo_reward.envs.sim_env import SimEnv
from robo_reward.envs.so101_arm import GRIPPER, HOME, MARGIN, STATE_NAMES, So101Arm, load_model
from robo_reward.envs.so101_expert import Expert
from robo_reward.envs.so101_tasks import find_task
from robo_reward.envs.task_settings import Camerawork, Clock, SubStep, Vector
from robo_reward.envs.vector_world import EnvFactory, VectorWorld, Workers
from robo_reward.errors import UserError, unknown_name
from robo_reward.joint_goals import GoalSteps, Joints

Features = Literal["joints", "places"]
Control = Literal["steps", "goals"]
PLACES_SCALE = 100.0
"""Places are in centimetres, so that they are about as large as the joints' degrees."""
PLACE_NAMES = tuple(f"{thing}_{axis}" for thing in ("hand", "object", "goal") for axis in "xyz")
WANDER = (8.0, 8.0, 8.0, 8.0, 5.0, 5.0)
"""How far episodes start from HOME, either way, in LeRobot's units. No joint stays at one value: on the arm it never
does, and a network that saw nothing else takes half an encoder tick for news."""
PUSH_SCALE = (6.0, 6.0, 6.0, 6.0, 3.0, 0.0)
"""Deviation, in LeRobot's units, of the pushes that demonstrations may be given: what was held is not let go."""


class So101Env(SimEnv):
    """One task. State: the six joint positions in LeRobot's units, with ``features="places"`` also hand, object, goal.

    Those places (cm) are what no arm knows of itself, so policies that read them cannot be deployed.
    ``control="goals"``: actions are LeRobot's, joint goals in degrees and 0..100. "steps": in [-1, 1], how far the last
    goal moves (``joint_goals.GoalSteps``). Either way a goal moves by at most ``speed`` degrees a second (the gripper
    by twice as many hundredths) and stays ``margin`` degrees off each end of its range, as behind the arm's guard: a
    policy that needs what the guard will not send fails on the arm. Dense reward: 0 to 1 per decision.
    """

    def __init__(
        self,
        task: str,
        camerawork: Camerawork,
        clock: Clock,
        features: Features = "joints",
        control: Control = "steps",
        speed: float = 60.0,
        fps: float = 30.0,
        margin: float = MARGIN,
    ) -> None:
        _check(features, control, speed, fps, margin)
        self.task, self._features, self._control = find_task(task), features, control
        model = load_model()
        import mujoco  # only now is the renderer chosen

        data = mujoco.MjData(model)
        self.arm = So101Arm(model, data)
        self._substeps = round(1 / (fps * model.opt.timestep))
        speeds = (*(speed,) * GRIPPER, 2 * speed)
        low, high = (tuple(float(v) for v in bound) for bound in self.arm.within(margin))
        self.steps = GoalSteps(low, high, speeds, fps / clock.action_repeat)
        self._each = GoalSteps(low, high, speeds, fps)
        self._expert = Expert(self.task, self.arm, margin)
        self._goal: Joints = np.array(HOME)
        self.state_names = STATE_NAMES if features == "joints" else (*STATE_NAMES, *PLACE_NAMES)
        self.landmarks = None if features == "joints" else Landmarks(6, 9, 12, scale=PLACES_SCALE)
        self.observation_space = spaces.Box(-np.inf, np.inf, (len(self.state_names),), np.float32)
        bounds = (np.array(low, np.float32), np.array(high, np.float32)) if control == "goals" else (-1.0, 1.0)
        self.action_space = spaces.Box(bounds[0], bounds[1], (6,), np.float32)
        super().__init__(model, data, camerawork, clock, self.task.instruction, fps)

    @property
    def name(self) -> str:
        return f"so101/{self.task.name}"

    def expert_action(self) -> Vector:
        goal = self._expert.goal(self.data, self._goal)
        if self._control == "goals":
            return goal.astype(np.float32)
        return self.steps.action(self._goal, goal)

    def places(self) -> Floats:
        """(6,) float32 metres: where what has to move is now, and where it belongs. Never for a policy to see."""
        return np.concatenate([self.task.moved(self.data), self.task.aim(self.data)]).astype(np.float32)

    def rearrange(self, seed: int) -> Vector:
        """The state (S,) of a scene with things and hand set aside at random; the episode is not meant to go on."""
        rng = np.random.default_rng(seed)
        self._arrange(rng)
        return self._stand(self._expert.somewhere(self.data, self._goal, rng))

    def _begin(self, seed: int) -> Vector:
        return self._arrange(np.random.default_rng(seed))

    def _arrange(self, rng: np.random.Generator) -> Vector:
        """Draws where an episode begins."""
        import mujoco

        mujoco.mj_resetData(self.model, self.data)
        start = np.array(HOME) + rng.uniform(-1, 1, 6) * WANDER
        self.task.begin(self.model, self.data, rng)
        self._expert.begin()
        return self._stand(start)

    def _stand(self, units: Joints) -> Vector:
        """Puts the arm there, at rest; the state (S,)."""
        import mujoco

        self._goal = np.clip(units, self.steps.low, self.steps.high)
        self.arm.place(self._goal)
        mujoco.mj_forward(self.model, self.data)
        return self._state()

    def _advance(self, action: Vector) -> SubStep:
        import mujoco

        if self._control == "goals":
            self._goal = self._each.goal(self._goal, self._each.action(self._goal, action.astype(np.float64)))
        else:
            self._goal = self._each.goal(self._goal, action)
        self.arm.advance(self._substeps, self.arm.follow(self._goal))
        mujoco.mj_forward(self.model, self.data)
        success = self.task.success(self.model, self.data)
        return SubStep(self._state(), self.task.reward(self.data), False, success)

    def _state(self) -> Vector:
        joints = self.arm.to_units(self.arm.angles())
        if self._features == "joints":
            return joints.astype(np.float32)
        moved, aim = self.task.moved(self.data), self.task.aim(self.data)
        places = np.concatenate([self.arm.fingertips, moved, aim]) * PLACES_SCALE
        return np.concatenate([joints, places]).astype(np.float32)

    def _python_state(self) -> Any:
        return {"goal": self._goal.copy(), "arm": self.arm.state(), "expert": self._expert.state()}

    def _set_python_state(self, state: Any) -> None:
        self._goal = state["goal"].copy()
        self.arm.set_state(state["arm"])
        self._expert.set_state(state["expert"])


class So101World(VectorWorld):
    """N copies of a task; ``push_scale``: of the pushes that demonstrations may be given, in units of the actions."""

    def __init__(self, factories: Sequence[EnvFactory], workers: Workers, oracle: Oracle, scale: Floats) -> None:
        super().__init__(factories, workers, oracle)
        self.push_scale = scale

    def places(self) -> Floats:
        """(N, 6) float32 metres: what has to move, and where it belongs. Labels for auxiliary losses."""
        return np.stack(self._vec.env_method("places"))

    def rearrange(self, seed: int) -> Observation:
        """The present scenes with things and hand set aside at random, world i by (seed, i); nothing is to move on."""
        seeds = [int(np.random.SeedSequence((seed, i)).generate_state(1)[0]) for i in range(self.num_worlds)]
        rows = [self._vec.env_method("rearrange", s, indices=[i])[0] for i, s in enumerate(seeds)]
        return self._moved_on(np.stack(rows))


def _check(features: str, control: str, speed: float, fps: float, margin: float) -> None:
    if features not in ("joints", "places"):
        raise unknown_name("kind of features", features, ("joints", "places"))
    if control not in ("steps", "goals"):
        raise unknown_name("kind of control", control, ("steps", "goals"))
    if not 1 <= speed <= 300:
        raise UserError(f"env.speed must lie between 1 and 300 degrees a second (the servos' own limit), got {speed}")
    if not 0 <= margin <= 30:
        raise UserError(f"env.margin must lie between 0 and 30 degrees off each end of a joint's range, got {margin}")
    if not 5 <= fps <= 100:
        raise UserError(f"env.fps must lie between 5 and 100 decisions a second, got {fps}")


def make_world(
    task: str = "reach",
    num_worlds: int = 1,
    workers: Workers = "in_process",
    views: Sequence[str] = ("front", "wrist"),
    height: int = 48,
    width: int = 64,
    horizon: int | None = None,
    action_repeat: int = 1,
    profile: Profile = "fast",
    oracle: Oracle = "none",
    features: Features = "joints",
    control: Control = "steps",
    speed: float = 60.0,
    fps: float = 30.0,
    margin: float = MARGIN,
) -> So101World:
    """N copies of a task; ``horizon`` in steps of 1/``fps`` s, None for the task's own. UserError for unknown names."""
    found = find_task(task)
    camerawork = Camerawork(tuple(views), height, width, profile)
    clock = Clock(horizon or found.horizon, action_repeat)
    _check(features, control, speed, fps, margin)
    env = partial(So101Env, found.name, camerawork, clock, features, control, speed, fps, margin)
    # a step is what one decision can move the goal by; a goal is in the joints' own units
    scale = np.array(PUSH_SCALE, np.float32) / (speed / fps * action_repeat if control == "steps" else 1.0)
    return So101World([env] * num_worlds, workers, oracle, scale)
