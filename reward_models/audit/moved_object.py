"""Moves a world's objects without its robot, for the probe that asks whether a reward looks at the object."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import World

STUCK = 1e8
"""Newton seconds per metre, or newton metre seconds per radian."""


def scene_pose(world: World) -> Any | None:
    """Where the objects of a single world are now, for ``put_back``; None where they cannot be moved apart.

    A world of one's own may offer ``object_pose()`` and ``put_objects(pose)``; in MuJoCo every joint counts as the
    scene's that is outside the kinematic trees with actuators.
    """
    own = getattr(world, "object_pose", None)
    if own is not None:
        return own()
    found = _mujoco(world)
    if found is None:
        return None
    model, data = found
    positions, _ = _scene_indices(model)
    return data.qpos[positions].copy() if len(positions) else None


def put_back(world: World, pose: Any) -> None:
    """Puts the objects where ``scene_pose`` found them, at rest; the robot stays as it is."""
    own = getattr(world, "put_objects", None)
    if own is not None:
        own(pose)
        return
    found = _mujoco(world)
    assert found is not None  # scene_pose would have given None
    import mujoco

    model, data = found
    positions, velocities = _scene_indices(model)
    data.qpos[positions] = pose
    data.qvel[velocities] = 0
    mujoco.mj_forward(model, data)


@contextmanager
def held(world: World) -> Iterator[None]:
    """While this lasts, MuJoCo's robot stays as it is, whatever pulls: a hand that pressed on what is gone would move.

    Its joints are as good as stuck by damping, which the Euler integrator takes implicitly.
    """
    found = _mujoco(world)
    if found is None:
        yield
        return
    import mujoco

    model, data = found
    _, scene = _scene_indices(model)
    robot = np.setdiff1d(np.arange(model.nv), scene)
    damping, integrator, flags = model.dof_damping.copy(), model.opt.integrator, model.opt.disableflags
    model.dof_damping[robot] = STUCK
    model.opt.integrator = mujoco.mjtIntegrator.mjINT_EULER
    model.opt.disableflags = flags & ~int(mujoco.mjtDisableBit.mjDSBL_EULERDAMP)
    data.qvel[robot] = 0
    try:
        yield
    finally:
        model.dof_damping[:] = damping
        model.opt.integrator, model.opt.disableflags = integrator, flags


def _mujoco(world: World) -> tuple[Any, Any] | None:
    live = getattr(world, "simulator", None)
    return None if live is None else live(0)


def _scene_indices(model: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices into qpos and qvel of the joints that no actuated kinematic tree holds."""
    joint = 0  # mjTRN_JOINT
    driven = [int(j) for j, kind in zip(model.actuator_trnid[:, 0], model.actuator_trntype, strict=True) if kind <= 1]
    robot = {int(model.body_rootid[model.jnt_bodyid[j]]) for j in driven if j >= joint}
    positions, velocities = list[int](), list[int]()
    for j in range(model.njnt):
        if int(model.body_rootid[model.jnt_bodyid[j]]) not in robot:
            size, moves = {0: (7, 6), 1: (4, 3)}.get(int(model.jnt_type[j]), (1, 1))
            positions += range(int(model.jnt_qposadr[j]), int(model.jnt_qposadr[j]) + size)
            velocities += range(int(model.jnt_dofadr[j]), int(model.jnt_dofadr[j]) + moves)
    return np.asarray(positions, np.int64), np.asarray(velocities, np.int64)
