"""The 50 Meta-World v3 tasks: a Sawyer arm over a table, starts and goals re-drawn in every episode."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from robo_reward.contracts import Landmarks, Oracle
from robo_reward.envs.live_state import plain_attributes, set_attributes
from robo_reward.envs.metaworld_instructions import INSTRUCTIONS
from robo_reward.envs.rendering import Profile, choose_renderer
from robo_reward.envs.sim_env import SimEnv
from robo_reward.envs.task_settings import Camerawork, Clock, SubStep, Vector
from robo_reward.envs.vector_world import VectorWorld, Workers
from robo_reward.errors import MissingExtra, unknown_name

Features = Literal["relative", "raw"]
HORIZON = 150
# The only parts of the model that Meta-World's tasks move when an episode starts.
MOVED = ("body_pos", "site_pos")

_XYZ = ("x", "y", "z")
RELATIVE_NAMES = (
    *(f"hand_{a}" for a in _XYZ),
    "gripper",
    *(f"object_{a}" for a in _XYZ),
    *(f"object_q{a}" for a in "0123"),
    *(f"object2_{a}" for a in _XYZ),
    *(f"goal_{a}" for a in _XYZ),
    *(f"hand_minus_object_{a}" for a in _XYZ),
    *(f"goal_minus_object_{a}" for a in _XYZ),
    *(f"goal_minus_hand_{a}" for a in _XYZ),
    *(f"hand_velocity_{a}" for a in _XYZ),
)
"""The dimensions of ``relative_features``, in order."""
LANDMARKS: dict[Features, Landmarks] = {
    "relative": Landmarks(hand=0, object=4, goal=14, scale=5.0, follows=((17, 10.0), (23, -10.0))),
    "raw": Landmarks(hand=0, object=4, goal=36),
}
"""Where each kind of features tells positions, and which differences follow the hand."""


def task_name(task: str) -> str:
    """The plain name of a task: 'drawer-open' for 'drawer-open-v3' too. UserError if unknown."""
    name = task.removesuffix("-v3").replace("_", "-")
    if name not in INSTRUCTIONS:
        raise unknown_name("Meta-World task", task, INSTRUCTIONS)
    return name


def relative_features(raw: NDArray[np.float64]) -> Vector:
    """Meta-World's (39,) observation as (29,) float32 of order one: places, differences, hand velocity."""
    hand, gripper, obj, quat, obj2 = raw[0:3], raw[3:4], raw[4:7], raw[7:11], raw[11:14]
    goal, hand_before = raw[36:39], raw[18:21]
    parts = [hand * 5, gripper * 2, obj * 5, quat, obj2 * 5, goal * 5]
    parts += [(hand - obj) * 10, (goal - obj) * 10, (goal - hand) * 10, (hand - hand_before) * 50]
    return np.concatenate(parts).astype(np.float32)


class MetaWorldEnv(SimEnv):
    """One task. Actions (4,) in [-1, 1]: hand x, y, z (1 cm each per simulator step) and gripper closing.

    State: ``relative_features`` (29,) or Meta-World's own (39,), by ``features``; the goal is part of it.
    Dense reward: Meta-World's, 0 to 10 per simulator step. 80 simulator steps are one second.
    """

    def __init__(self, task: str, camerawork: Camerawork, clock: Clock, features: Features = "relative") -> None:
        self.task = task_name(task)
        if features not in ("relative", "raw"):
            raise unknown_name("kind of features", features, ("relative", "raw"))
        self._sim, self._expert = _build(self.task)
        self._features = features
        self.landmarks = LANDMARKS[features]
        self._raw: NDArray[np.float64] = np.zeros(39)
        _turn_upright(self._sim.model)
        size = len(RELATIVE_NAMES) if features == "relative" else 39
        self.state_names = RELATIVE_NAMES if features == "relative" else tuple(f"raw_{i}" for i in range(39))
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (4,), np.float32)
        super().__init__(self._sim.model, self._sim.data, camerawork, clock, INSTRUCTIONS[self.task], 1 / self._sim.dt)

    @property
    def name(self) -> str:
        return f"metaworld/{self.task}"

    def expert_action(self) -> Vector:
        with warnings.catch_warnings():
            # Its gains exceed the action range on purpose, and it says so at every step.
            warnings.simplefilter("ignore")
            action = self._expert.get_action(self._raw)
        clipped: Vector = np.clip(action, -1.0, 1.0).astype(np.float32)
        return clipped

    def _begin(self, seed: int) -> Vector:
        # Meta-World ignores reset(seed=...); seed() is what re-draws start and goal.
        self._sim.seed(seed)
        raw, _ = self._sim.reset()
        return self._state(raw)

    def _advance(self, action: Vector) -> SubStep:
        raw, reward, _, _, info = self._sim.step(action)
        return SubStep(self._state(raw), float(reward), False, bool(info["success"] > 0))

    def _state(self, raw: NDArray[np.float64]) -> Vector:
        self._raw = np.asarray(raw, np.float64)
        return relative_features(self._raw) if self._features == "relative" else self._raw.astype(np.float32)

    def _before_render(self) -> None:
        # Meta-World places its goal markers before its last mj_forward, which puts some of them back.
        for site, position in self._sim._target_site_config:
            self._sim._set_pos_site(site, position)

    def _python_state(self) -> Any:
        moved = {name: getattr(self.model, name).copy() for name in MOVED}
        return {"attributes": plain_attributes(self._sim), "moved": moved, "raw": self._raw.copy()}

    def _set_python_state(self, state: Any) -> None:
        set_attributes(self._sim, state["attributes"])
        for key, value in state["moved"].items():
            getattr(self.model, key)[:] = value
        self._raw = state["raw"].copy()


def _build(task: str) -> tuple[Any, Any]:
    """A task's environment, goal visible, starts and goals re-drawn, and its scripted policy."""
    choose_renderer()
    try:
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE
        from metaworld.policies import ENV_POLICY_MAP
    except ModuleNotFoundError as error:
        raise MissingExtra("metaworld", "metaworld", f"the task '{task}'") from error
    with warnings.catch_warnings():
        # Gymnasium complains about Meta-World's own spaces, which nobody here uses.
        warnings.simplefilter("ignore")
        make: Any = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[f"{task}-v3-goal-observable"]
        sim = make(seed=0)
    sim._freeze_rand_vec, sim.seeded_rand_vec = False, True
    sim.max_path_length = 10**9  # it raises at its own limit of 500; the horizon is ours
    return sim, ENV_POLICY_MAP[f"{task}-v3"]()


def _turn_upright(model: Any) -> None:
    """The corner cameras hang upside down; corner2 also moves nearer, to where LeRobot's datasets have it."""
    import mujoco

    half_turn = np.array([0.0, 0.0, 0.0, 1.0])
    for name in ("corner", "corner2", "corner3"):
        camera = model.camera(name)
        turned = np.empty(4)
        mujoco.mju_mulQuat(turned, camera.quat, half_turn)
        camera.quat[:] = turned
    model.camera("corner2").pos[:] = (0.75, 0.075, 0.7)


def make_env(task: str, camerawork: Camerawork, clock: Clock, features: Features = "relative") -> MetaWorldEnv:
    """One task as a Gymnasium environment."""
    return MetaWorldEnv(task, camerawork, clock, features)


def make_world(
    task: str,
    num_worlds: int = 1,
    workers: Workers = "in_process",
    views: Sequence[str] = ("corner2", "behindGripper"),
    height: int = 64,
    width: int = 64,
    horizon: int | None = None,
    action_repeat: int = 2,
    profile: Profile = "fast",
    oracle: Oracle = "none",
    features: Features = "relative",
) -> VectorWorld:
    """N copies of a Meta-World task; ``horizon`` in simulator steps, None for 150. UserError for unknown names."""
    camerawork = Camerawork(tuple(views), height, width, profile)
    clock = Clock(HORIZON if horizon is None else horizon, action_repeat)
    env = partial(make_env, task_name(task), camerawork, clock, features)
    return VectorWorld([env] * num_worlds, workers, oracle)


# the benchmark's own limit, 500, is far beyond what most tasks need: episodes are as long as demonstrations ask for
make_world.follows_demonstrations = True  # type: ignore[attr-defined]
