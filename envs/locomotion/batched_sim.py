"""N states of one MuJoCo model (or of variants of it), stepped together in C threads by ``mujoco.rollout``."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError, unknown_name

if TYPE_CHECKING:
    import mujoco

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
HUGE = 1e10
"""MuJoCo's own bound (mjMAXVAL): larger positions, velocities or accelerations count as a blown-up simulation."""
LATE = 1e-9
"""Seconds by which a clock may differ from the steps that were made."""


class BatchedSim:
    """``frame_skip`` physics steps of N worlds are one call into C; nothing here loops over worlds.

    ``models``: variants of one model, of equal sizes; world i has variant i modulo their number. ``threads``: how many
    of them step, 0 for as many as this process may use processors.
    ``state`` (N, 1 + nq + nv + na) float64 holds time, positions, velocities and activations, of which ``qpos`` (N, nq)
    and ``qvel`` (N, nv) are views, to be written through ``place`` only. ``sensors`` (N, nsensordata) belong, as in
    MuJoCo, to the beginning of the last physics step; ``fresh_sensors`` asks for those of ``state`` itself, under the
    last control, for one more evaluation of the dynamics. The next step writes other ``state``, but the same
    ``sensors``; the one after that writes over both.

    ``variants``: how many models there are, whether a world has them or not. ``failed``: whether any world blew up in
    the last step.

    Solver warm starts are not carried from one call to the next, so that a step follows from ``state`` alone.
    """

    def __init__(
        self,
        models: Sequence[mujoco.MjModel],
        num_worlds: int,
        frame_skip: int,
        threads: int = 0,
        fresh_sensors: bool = False,
    ) -> None:
        _check(num_worlds, frame_skip, threads)
        import mujoco
        from mujoco.rollout import Rollout

        # a blown-up world is found and counted here; MuJoCo would print it and write a log file
        mujoco.set_mju_user_warning(logging.getLogger(__name__).info)
        self.model = models[0]
        self.num_worlds, self.frame_skip, self.variants = num_worlds, frame_skip, len(models)
        self.threads = min(threads or _processors(), num_worlds)
        self.failed = False
        self.dt = float(self.model.opt.timestep) * frame_skip
        self._models = [models[i % len(models)] for i in range(num_worlds)]
        self._fresh = fresh_sensors
        self._sensing, self._stepping = _purposes(self._models, fresh_sensors)
        pool = 0 if self.threads == 1 else self.threads
        self._data = [mujoco.MjData(self.model) for _ in range(self.threads)]
        self._rollout = Rollout(nthread=pool)
        spec = mujoco.mjtState
        self._plain = int(spec.mjSTATE_CTRL)
        self._pushed = int(spec.mjSTATE_CTRL) | int(spec.mjSTATE_XFRC_APPLIED)
        size = mujoco.mj_stateSize(self.model, spec.mjSTATE_FULLPHYSICS)
        self._states = np.zeros((num_worlds, frame_skip, size))
        self._qpos = slice(1, 1 + self.model.nq)
        self._qvel = slice(self._qpos.stop, self._qpos.stop + self.model.nv)
        self._next = np.zeros((num_worlds, 1, size))
        # steps without sensors write none: Humanoid's are three quarters of what a step would copy
        self._sensed = np.zeros((num_worlds, 1 if fresh_sensors else frame_skip, self.model.nsensordata))
        self.sensors = self._sensed[:, -1]
        self._last_control = np.zeros((num_worlds, 1, self.model.nu))
        self._control = np.zeros((num_worlds, frame_skip, self.model.nu))
        self._with_force = np.zeros((num_worlds, frame_skip, self.model.nu + 6 * self.model.nbody))
        self._force: Array | None = None
        self.state = np.tile(self._start(mujoco.MjData(self.model)), (num_worlds, 1))
        self._spare = self.state.copy()

    @property
    def time(self) -> Array:
        """(N,) seconds since the episodes began."""
        result: Array = self.state[:, 0]
        return result

    @property
    def qpos(self) -> Array:
        """(N, nq) generalised positions."""
        return self.state[:, self._qpos]

    @property
    def qvel(self) -> Array:
        """(N, nv) generalised velocities."""
        return self.state[:, self._qvel]

    def step(self, control: Array) -> NDArray[np.bool_]:
        """Advances all worlds under ``control``, (N, nu) or one for each physics step, (N, frame_skip, nu).

        Returns (N,) True where the simulation blew up; such a world keeps the state it had.
        """
        self._control[:] = control if control.ndim == 3 else control[:, None]
        controls, spec = self._control, self._plain
        if self._force is not None:
            nu = self.model.nu
            self._with_force[:, :, :nu] = self._control
            self._with_force[:, :, nu:] = self._force.reshape(self.num_worlds, 1, -1)
            controls, spec, self._force = self._with_force, self._pushed, None
        before, after = self.state, self._spare
        due = before[:, 0] + self.dt
        self._run(self._stepping, before, controls, spec, self._states, None if self._fresh else self._sensed)
        np.copyto(after, self._states[:, -1])
        broken = self._broken(after, due)
        if self.failed:
            after[broken] = before[broken]
        self.state, self._spare = after, before
        if self._fresh:
            np.copyto(self._last_control[:, 0], self._control[:, -1])
            self._run(self._sensing, after, self._last_control, self._plain, self._next, self._sensed)
        if self.failed:
            self.sensors[broken] = 0.0
        return broken

    def set_force(self, bodies: Indices, force: NDArray[Any]) -> None:
        """External forces (N, B, 6) on bodies (B,), for the next ``step`` only: N and N m in the world's axes.

        They act at the bodies' centres of mass, during every physics step of that ``step``.
        """
        if self._force is None:
            self._force = np.zeros((self.num_worlds, self.model.nbody, 6))
        self._force[:, bodies] = force

    def place(self, where: Indices, qpos: Array, qvel: Array) -> None:
        """Puts worlds ``where`` (M,) into positions (M, nq) and velocities (M, nv), at time 0 and at rest inside."""
        rows = np.zeros((len(where), self.state.shape[1]))
        rows[:, self._qpos], rows[:, self._qvel] = qpos, qvel
        self.state[where] = rows
        self.sensors[where] = 0.0

    def sense(self, where: Indices) -> Array:
        """(M, nsensordata) what the sensors of worlds ``where`` say of their present states, without control."""
        states, count = self.state[where], len(where)
        sensed, after = np.empty((count, 1, self.model.nsensordata)), np.empty((count, 1, states.shape[1]))
        models = [self._sensing[i] for i in where.tolist()]
        self._run(models, states, np.zeros((count, 1, self.model.nu)), self._plain, after, sensed)
        found: Array = sensed[:, 0]
        return found

    def sensor(self, name: str) -> slice:
        """Where a sensor's numbers are within ``sensors``."""
        import mujoco

        index = mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_SENSOR, name)
        if index < 0:
            raise unknown_name("sensor", name, [self.model.sensor(i).name for i in range(self.model.nsensor)])
        first = int(self.model.sensor_adr[index])
        return slice(first, first + int(self.model.sensor_dim[index]))

    def sensors_of(self, names: Sequence[str]) -> slice:
        """Where the numbers of several sensors are, which follow one another in the model."""
        places = [self.sensor(name) for name in names]
        if any(last.stop != then.start for last, then in pairwise(places)):
            raise ValueError(f"sensors {', '.join(names)} do not follow one another in the model")
        return slice(places[0].start, places[-1].stop)

    def show(self, index: int, state: Array, data: mujoco.MjData) -> None:
        """Puts ``data`` into the pose of one row of ``state``, ready to be drawn."""
        import mujoco

        mujoco.mj_setState(self._models[index], data, state, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        mujoco.mj_forward(self._models[index], data)

    def model_of(self, index: int) -> mujoco.MjModel:
        """The variant that a world has."""
        return self._models[index]

    def close(self) -> None:
        """Ends the threads."""
        self._rollout.close()

    def _run(
        self, models: list[Any], start: Array, control: Array, spec: int, states: Array, sensed: Array | None
    ) -> None:
        self._rollout.rollout(
            models,
            self._data,
            start,
            control,
            control_spec=spec,
            skip_checks=True,
            nstep=control.shape[1],
            state=states,
            sensordata=sensed,
        )

    def _broken(self, after: Array, due: Array) -> NDArray[np.bool_]:
        """Not finite, huge, or the clock is not at ``due``: MuJoCo resets what it finds unstable to time 0.

        Says in ``failed`` whether there are any.
        """
        late, flat = after[:, 0] - due, after.ravel()
        # sums of squares, one pass each, nearly always settle it; NaN is below nothing
        self.failed = not (late @ late < LATE**2 and flat @ flat < HUGE**2)
        if not self.failed:
            return np.zeros(self.num_worlds, np.bool_)
        broken = np.asarray(~(np.abs(after).max(axis=1) < HUGE) | (np.abs(late) > LATE))
        self.failed = bool(broken.any())
        return broken

    def _start(self, data: mujoco.MjData) -> Array:
        import mujoco

        state = np.zeros(mujoco.mj_stateSize(self.model, mujoco.mjtState.mjSTATE_FULLPHYSICS))
        mujoco.mj_getState(self.model, data, state, mujoco.mjtState.mjSTATE_FULLPHYSICS)
        return state


def _purposes(models: list[Any], fresh_sensors: bool) -> tuple[list[Any], list[Any]]:
    """Copies of the worlds' models, each variant once: to sense with, and to step with.

    To sense takes one evaluation of the dynamics, where Runge and Kutta would take four. Where sensors are sensed
    afresh, steps need none.
    """
    import copy

    import mujoco

    sensing = {id(model): copy.copy(model) for model in models}
    stepping = {id(model): copy.copy(model) if fresh_sensors else model for model in models}
    for model in sensing.values():
        model.opt.integrator = mujoco.mjtIntegrator.mjINT_EULER
    if fresh_sensors:
        for model in stepping.values():
            model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_SENSOR)
    return [sensing[id(model)] for model in models], [stepping[id(model)] for model in models]


def _check(num_worlds: int, frame_skip: int, threads: int) -> None:
    if num_worlds < 1:
        raise UserError(f"env.num_worlds={num_worlds} must be 1 or more")
    if frame_skip < 1:
        raise UserError(f"frame_skip={frame_skip} must be 1 or more physics steps")
    if threads < 0:
        raise UserError(f"env.threads={threads} must be 0 (as many as there are processors) or more")


def _processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
