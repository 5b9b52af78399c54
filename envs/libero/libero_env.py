"""LIBERO tasks as one simulated world: its episodes walk through them, what it shows is what LeRobot shows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from robo_reward.envs.libero.catalogue import LiberoTask, shipped_states
from robo_reward.envs.libero.other_tasks import answered, facts_of
from robo_reward.envs.libero.pictures import Meshes, ScenePictures
from robo_reward.envs.libero.places import places
from robo_reward.envs.libero.scatter import Scatter, scatter
from robo_reward.envs.libero.seen import Timing
from robo_reward.envs.libero.sight import pixels
from robo_reward.envs.libero.sim import LiberoSim
from robo_reward.envs.libero.starts import EXACT, Spread, Starts, start
from robo_reward.envs.rendering import FREE_VIEW, CameraRenderer, Profile, camera_names
from robo_reward.envs.sim_env import SimEnv
from robo_reward.envs.task_settings import Camerawork, Clock, SubStep, Vector
from robo_reward.errors import unknown_name

if TYPE_CHECKING:
    import mujoco

VIEWS = {"image": "agentview", "image2": "robot0_eye_in_hand"}
"""LeRobot's names of the two published views -> the cameras. Both are shown mirrored, as the datasets have them."""
FPS = 20.0
KEPT = 12
"""So many tasks keep their simulator; a world that walks through more builds them anew."""
STATE_NAMES = (
    *("eef_x", "eef_y", "eef_z"),
    *("eef_axis_angle_x", "eef_axis_angle_y", "eef_axis_angle_z"),
    *("gripper_left", "gripper_right"),
)


class LiberoEnv(SimEnv):
    """Actions (7,) in [-1, 1]: hand shift of up to 5 cm, turn of up to 0.5 rad, gripper (1 closes).

    State (8,): hand position in metres, orientation as axis-angle, both finger positions: what LeRobot's
    LiberoProcessorStep makes of an observation. Views ``image`` and ``image2`` are turned as that step turns them.
    ``timing``: "lerobot" shows what LeRobot's environment shows, 4 ms before the step's end; "present" its end.
    Reward: the benchmark's own, 1 where the goal holds. Episode e of world w of W is number w + W e: its task is that
    number modulo the tasks, and each task's shipped states come in their order. ``begin_at`` counts from elsewhere.
    ``spread``: how far starts="reset" is varied.
    """

    state_names = STATE_NAMES

    def __init__(
        self,
        tasks: Sequence[LiberoTask],
        camerawork: Camerawork,
        clock: Clock,
        starts: Starts = "reset",
        meshes: Meshes = "published",
        timing: Timing = "lerobot",
        world: int = 0,
        worlds: int = 1,
        spread: Spread = EXACT,
    ) -> None:
        self.tasks = tuple(tasks)
        self._spread = spread
        self._first = 0
        self._starts: Starts = starts
        self._meshes: Meshes = meshes
        self._timing: Timing = timing
        self._world, self._worlds = world, worlds
        self._sims: OrderedDict[int, tuple[LiberoSim, NDArray[np.float64]]] = OrderedDict()
        self._pictures: dict[tuple[int, Profile, int, int], CameraRenderer] = {}
        self._spent = (0, 0.0)
        self.shift: NDArray[np.float64] = np.zeros(2)
        self._resting: NDArray[np.float64] | None = None
        self.observation_space = spaces.Box(-np.inf, np.inf, (len(STATE_NAMES),), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (7,), np.float32)
        self._enter(world % len(self.tasks))
        super().__init__(self.sim.model, self.sim.data, camerawork, clock, self.sim.task.instruction, FPS)
        self._expert: Any = None

    @property
    def name(self) -> str:
        numbers = [str(task.number) for task in self.tasks]
        return f"{self.tasks[0].suite}/{'+'.join(numbers) if len(numbers) < 10 else 'all'}"

    @property
    def stand_in_visuals(self) -> bool:
        """Whether the pictures differ from the published benchmark's."""
        return self.sim.stand_in_visuals

    def instruction_now(self) -> str:
        """The instruction of the task that is on now."""
        return self.sim.task.instruction

    def begin_at(self, number: int) -> None:
        """The next seeded reset begins episode ``number`` in the first of the worlds."""
        self._first = number

    def places(self) -> Vector:
        """(6,) float32 metres: where what the task moves is, and where it belongs; for auxiliary losses only."""
        return places(self.sim)

    def other_places(self) -> list[tuple[str, Vector]]:
        """Instructions of the other tasks that the present scene answers too, with what ``places`` tells of each."""
        found = answered(self.sim.task, self.tasks)
        return [(task.instruction, places(self.sim, facts_of(task))) for task in found]

    def point_out(self, places: Vector) -> dict[str, Vector]:
        """View -> (K, 2): where places (3 K,) in metres lie in its picture, as shares from its left and its top.

        Of cameras that stand still: what the hand's shows is hidden by its fingers when it counts, and taught nothing.
        """
        work, told = self.camerawork, np.asarray(places, np.float32).reshape(-1, 3)
        found = {}
        for view in (view for view in work.views if view != FREE_VIEW):
            camera = VIEWS.get(view, view)
            if self.model.cam_bodyid[self.model.camera(camera).id] != 0:
                continue
            shares = pixels(self.model, self._shown, camera, told, work.width / work.height)
            if view in VIEWS:
                shares[:, 0] = 1.0 - shares[:, 0]  # shown mirrored
            found[view] = shares
        return found

    def rearrange(self, seed: int) -> Vector:
        """The state (S,) of a scene whose things and arm are set aside at random; the episode is not meant to go on."""
        resting = self._resting if self._resting is not None else np.array(self.sim.data.qpos, np.float64)
        self._resting = resting
        scatter(self.sim, resting, np.random.default_rng(seed), Scatter())
        return self._state()

    def expert_action(self) -> Vector:
        """What the scripted expert would do now, (7,) float32. It sees the simulator's state, not the pictures."""
        from robo_reward.envs.libero_experts import make_expert

        if self._expert is None:
            self._expert = make_expert(self.sim)
        return np.asarray(self._expert.action(self.sim), np.float32)

    def known_views(self) -> tuple[str, ...]:
        return (*VIEWS, *camera_names(self.model), FREE_VIEW)

    def render_view(
        self, name: str, profile: Profile | None = None, size: tuple[int, int] | None = None
    ) -> NDArray[np.uint8]:
        if name not in self.known_views():
            raise unknown_name("view", name, self.known_views())
        work = self.camerawork
        height, width = size or (work.height, work.width)
        key = (self._number, profile or work.profile, height, width)
        if key not in self._pictures:
            self._pictures[key] = ScenePictures(self.model, self._shown, height, width, key[1], self._meshes)
        self.sim.show()
        frame = self._pictures[key].render(VIEWS.get(name, name))
        return np.ascontiguousarray(frame[:, ::-1]) if name in VIEWS else frame

    @property
    def frames_rendered(self) -> int:
        return self._spent[0] + sum(p.frames for p in self._pictures.values())

    @property
    def render_seconds(self) -> float:
        return self._spent[1] + sum(p.seconds for p in self._pictures.values())

    def close(self) -> None:
        for number in list(self._sims):
            self._leave(number)

    def _begin(self, seed: int) -> Vector:
        number = self._first + self._world + self._worlds * (self._episode - 1)
        self._enter(number % len(self.tasks))
        self.shift = start(self.sim, self._starts, seed, self._shipped, number // len(self.tasks), self._spread)
        self._expert = self._resting = None
        return self._state()

    def _advance(self, action: Vector) -> SubStep:
        self.sim.step(action)
        success = self.sim.success()
        return SubStep(self._state(), float(success), False, success)

    @property
    def _shown(self) -> mujoco.MjData:
        return self.sim.seen.data if self._timing == "lerobot" else self.sim.data

    def _state(self) -> Vector:
        position, turn, fingers = self.sim.arm.pose(self._shown)
        return np.concatenate([position, axis_angle(turn), fingers]).astype(np.float32)

    def _python_state(self) -> Any:
        held = {"task": self._number, "first": self._first}
        return {**held, "sim": self.sim.memory(), "shift": self.shift.copy()}

    def _set_python_state(self, state: Any) -> None:
        self._enter(state["task"])
        self._first = state["first"]
        self.sim.recall(state["sim"])
        self.shift = state["shift"].copy()
        self._expert = None

    def _enter(self, number: int) -> None:
        """Makes a task the present one; the one that was left longest ago may have to go."""
        if number not in self._sims:
            if len(self._sims) >= KEPT:
                self._leave(next(iter(self._sims)))
            task = self.tasks[number]
            sim = LiberoSim(task)
            self._sims[number] = (sim, shipped_states(task))
        self._sims.move_to_end(number)
        self._number = number
        self.sim, self._shipped = self._sims[number]
        self.model, self.data, self.instruction = self.sim.model, self.sim.data, self.sim.task.instruction

    def _leave(self, number: int) -> None:
        for key in [k for k in self._pictures if k[0] == number]:
            pictures = self._pictures.pop(key)
            self._spent = (self._spent[0] + pictures.frames, self._spent[1] + pictures.seconds)
            pictures.close()
        del self._sims[number]


def axis_angle(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3,) rotation vector of a quaternion (x, y, z, w), angle in [0, 2 pi), as LeRobot's processor has it."""
    w = np.clip(quaternion[3], -1.0, 1.0)
    sine = np.sqrt(max(0.0, 1.0 - w * w))
    return np.zeros(3) if sine <= 1e-10 else quaternion[:3] / sine * (2.0 * np.arccos(w))
