"""One LIBERO task in MuJoCo: robosuite builds and judges it, this steps it with one dynamics pass a substep."""

from __future__ import annotations

import contextlib
import io
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.libero.arm_controller import ArmController
from robo_reward.envs.libero.catalogue import LiberoTask
from robo_reward.envs.libero.contacts import ContactTest
from robo_reward.envs.libero.facts import Facts, read_facts
from robo_reward.envs.libero.installation import import_libero
from robo_reward.envs.libero.seen import SENSED, SeenScene

if TYPE_CHECKING:
    import mujoco

Array = NDArray[np.float64]
SUBSTEPS = 25
"""Physics steps of 2 ms in a control step: 20 decisions a second."""
SETTLE_STEPS = 10
IDLE = np.array([0, 0, 0, 0, 0, 0, -1], np.float64)
"""The action that the benchmark waits with: stay, fingers open."""


class LiberoSim:
    """A task that can be reset, stepped and judged. ``model`` and ``data`` are MuJoCo's own.

    States equal those of the published environment's ``step`` (tested). ``facts``: what the task file says.
    ``seen``: what the published environment shows, 4 ms behind ``data``.
    ``robosuite``: the published environment, for what only it knows; its own ``step`` must not be called.
    """

    def __init__(self, task: LiberoTask) -> None:
        self.task = task
        self.robosuite, self.assets = _build(task)
        self.facts: Facts = read_facts(self.robosuite.parsed_problem)
        self.model: mujoco.MjModel = self.robosuite.sim.model._model
        self.data: mujoco.MjData = self.robosuite.sim.data._data
        self.arm = ArmController(self.robosuite.robots[0], self.model, self.data)
        self.seen = SeenScene(self.model, self.data)
        self.robosuite.check_contact = ContactTest(self.model, self.data)
        self._ready = False
        self._success = False
        self._hide_markers()

    @property
    def stand_in_visuals(self) -> bool:
        """Whether some textures or visual meshes are not the published ones."""
        return bool(self.assets.stand_ins)

    def reset(self, seed: int, state: Array | None = None) -> None:
        """Places fixtures and objects as the benchmark's own seeded reset does, arm at home.

        ``state`` (1 + nq + nv,), such as a shipped one, then replaces joint positions and velocities; fixtures stay
        where the seed put them.
        """
        from robosuite.utils.errors import RandomizationError  # type: ignore[import-untyped]

        self._send_fixtures_home()
        with _numpy_seeded(seed):
            while True:
                with contextlib.suppress(RandomizationError):
                    self.robosuite.reset()
                    break
        self.arm.forget()
        self._ready = False
        if state is not None:
            self.set_state(state)
        self.seen.take_places()
        self.seen.take_joints()
        self._success = bool(self.robosuite._check_success())

    def _hide_markers(self) -> None:
        """Hides what robosuite draws at the hand until its first reset: a state may be set before there is any."""
        self.robosuite.visualize(vis_settings=dict.fromkeys(self.robosuite._visualizations, False))

    def _send_fixtures_home(self) -> None:
        """Puts fixtures where the model file has them, as upstream's hard reset does by building the model anew.

        LIBERO places what stands on a fixture relative to the fixture's frame, which it reads off the world: with a
        fixture left where the last episode had it, that place would count twice.
        """
        for fixture in self.robosuite.fixtures_dict.values():
            body = self.model.body(fixture.root_body)
            body.pos[:], body.quat[:] = 0.0, (1.0, 0.0, 0.0, 0.0)

    def set_state(self, state: Array) -> None:
        """Joint positions and velocities from a flat (1 + nq + nv,) time, qpos, qvel; the controller's memory stays."""
        import mujoco

        nq = self.model.nq
        self.data.time = state[0]
        self.data.qpos[:], self.data.qvel[:] = state[1 : 1 + nq], state[1 + nq :]
        mujoco.mj_forward(self.model, self.data)
        self._ready = False

    def state(self) -> Array:
        """Flat (1 + nq + nv,) time, qpos, qvel."""
        return np.concatenate([[self.data.time], self.data.qpos, self.data.qvel])

    def settle(self, steps: int = SETTLE_STEPS) -> None:
        """Waits until what was placed has come to rest."""
        for _ in range(steps):
            self.step(IDLE)

    def step(self, action: NDArray[Any]) -> None:
        """One control step (50 ms) of a (7,) action in [-1, 1]: hand shift (5 cm), turn (0.5 rad), closing.

        Afterwards positions, contacts and velocities in ``data`` belong to the new state; the verdict of ``success``
        is the published environment's, taken one substep earlier for whatever MuJoCo derives from positions.
        """
        import mujoco

        model, data, arm = self.model, self.data, self.arm
        if not self._ready:
            mujoco.mj_step1(model, data)
        arm.aim(np.asarray(action, np.float64))
        arm.act()
        mujoco.mj_step2(model, data)
        for substep in range(1, SUBSTEPS):
            mujoco.mj_step1(model, data)
            if substep == SENSED:
                self.seen.take_places()
            arm.act()
            mujoco.mj_step2(model, data)
            if substep == SENSED:
                self.seen.take_joints()
        arm.finish()
        self._success = bool(self.robosuite._check_success())
        mujoco.mj_step1(model, data)
        self._ready = True

    def success(self) -> bool:
        """Whether the goal held at the end of the last step (or of the reset)."""
        return self._success

    def refresh(self) -> None:
        """After somebody wrote into ``data``: derived quantities are computed anew before the next step."""
        self._ready = False

    def show(self) -> None:
        """Puts in place what only pictures see, such as a burner's glow."""
        self.robosuite._post_process()

    def memory(self) -> dict[str, Any]:
        """What a snapshot must hold besides MuJoCo's state: controller, gripper, places of the fixtures."""
        moved = {name: getattr(self.model, name).copy() for name in ("body_pos", "body_quat")}
        return {"arm": self.arm.memory(), "moved": moved, "success": self._success, "seen": self.seen.memory()}

    def recall(self, memory: dict[str, Any]) -> None:
        """Returns to what ``memory`` gave; MuJoCo's own state is to be set after it."""
        self.arm.recall(memory["arm"])
        self.seen.recall(memory["seen"])
        for name, value in memory["moved"].items():
            getattr(self.model, name)[:] = value
        self._success, self._ready = memory["success"], False


@contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """The benchmark samples from NumPy's global generator; it gets a seed of its own and is put back after."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def _build(task: LiberoTask) -> tuple[Any, Any]:
    """The published environment without pictures and observations, and the assets it reads."""
    envs, assets = import_libero()
    with contextlib.redirect_stdout(io.StringIO()):
        control = envs.ControlEnv(
            bddl_file_name=str(task.bddl_file),
            use_camera_obs=False,
            has_offscreen_renderer=False,
            has_renderer=False,
        )
    inner = control.env
    inner.hard_reset = False
    inner._observables = OrderedDict()
    return inner, assets
