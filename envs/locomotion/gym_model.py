"""Gymnasium's Ant and Humanoid with sensors for what their observations read out of MuJoCo's inner arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.locomotion.batched_sim import Array, BatchedSim
from robo_reward.envs.locomotion.rotations import cross, matrices

if TYPE_CHECKING:
    import mujoco

ROW, COLUMN = np.array([0, 1, 2, 0, 0, 1]), np.array([0, 1, 2, 1, 2, 2])
"""MuJoCo's order of the six numbers of an inertia."""
NETFORCE = 3
"""MuJoCo's contact sensor: all contacts of a body as one force and torque, at their force-weighted centre."""


def sensed_model(path: str, whole_body: bool) -> mujoco.MjModel:
    """The model in ``path`` with contact sensors on each body; ``whole_body``: with motions and inertias, too."""
    import mujoco

    spec = mujoco.MjSpec.from_file(path)
    bodies = [body for body in spec.bodies if body.name != "world"]
    for index, body in enumerate(bodies):
        body.name = body.name or f"body_{index + 1}"
    for body in bodies:
        _add_contact(spec, body.name)
    kinds, things = mujoco.mjtSensor, mujoco.mjtObj
    spec.add_sensor(name="com", type=kinds.mjSENS_SUBTREECOM, objtype=things.mjOBJ_BODY, objname=bodies[0].name)
    if whole_body:
        for name, kind, thing in (
            ("inertia_pos", kinds.mjSENS_FRAMEPOS, things.mjOBJ_BODY),
            ("inertia_quat", kinds.mjSENS_FRAMEQUAT, things.mjOBJ_BODY),
            ("pos", kinds.mjSENS_FRAMEPOS, things.mjOBJ_XBODY),
            ("linear", kinds.mjSENS_FRAMELINVEL, things.mjOBJ_XBODY),
            ("angular", kinds.mjSENS_FRAMEANGVEL, things.mjOBJ_XBODY),
        ):
            for body in bodies:
                spec.add_sensor(name=f"{name}_{body.name}", type=kind, objtype=thing, objname=body.name)
        for joint in spec.joints[1:]:
            spec.add_sensor(
                name=f"motor_{joint.name}",
                type=kinds.mjSENS_JOINTACTFRC,
                objtype=things.mjOBJ_JOINT,
                objname=joint.name,
            )
    return spec.compile()


def _add_contact(spec: Any, body: str) -> None:
    import mujoco

    fields = mujoco.mjtConDataField
    wanted = (fields.mjCONDATA_FORCE, fields.mjCONDATA_TORQUE, fields.mjCONDATA_POS)
    sensor = spec.add_sensor(
        name=f"contact_{body}", type=mujoco.mjtSensor.mjSENS_CONTACT, objtype=mujoco.mjtObj.mjOBJ_BODY, objname=body
    )
    sensor.intprm[0], sensor.intprm[1], sensor.intprm[2] = sum(1 << int(f) for f in wanted), NETFORCE, 1


class BodySensors:
    """MuJoCo's spatial quantities of every body but the world, about the walker's centre of mass, from ``sensors``.

    They are those of the state that is observed. Gymnasium shows those of the last Runge-Kutta stage before it, which
    MuJoCo leaves in its arrays: mostly close, but single contact entries of the Ant, clipped to [-1, 1], differ by up
    to 0.76 where a foot lands or lifts between the two.
    """

    def __init__(self, sim: BatchedSim, whole_body: bool) -> None:
        model = sim.model
        self._names = [model.body(i).name for i in range(1, model.nbody)]
        self._com = sim.sensor("com")
        self.contacts = self._places(sim, "contact")
        self._inertia: Array = np.asarray(model.body_inertia[1:])
        self._mass: Array = np.asarray(model.body_mass[1:])
        if whole_body:
            parts = ("inertia_pos", "inertia_quat", "pos", "linear", "angular")
            self._parts = {part: self._places(sim, part) for part in parts}
            joints = [model.joint(i).name for i in range(1, model.njnt)]
            self.motors = np.concatenate([_range(sim.sensor(f"motor_{joint}")) for joint in joints])

    def com(self, sensors: Array) -> Array:
        """(M, 3) the walker's centre of mass."""
        return sensors[:, self._com]

    def contact_wrench(self, sensors: Array) -> Array:
        """(M, B, 6) torque and force of all contacts: ``cfrc_ext``. The sensor tells what the body does to others."""
        force, torque, at = np.split(-sensors[:, self.contacts], 3, axis=2)
        return np.concatenate([torque + cross(-at - self.com(sensors)[:, None], force), force], axis=2)

    def velocity(self, sensors: Array) -> Array:
        """(M, B, 6) angular velocity, and linear velocity at the centre of mass: ``cvel``."""
        pos, linear, angular = (sensors[:, self._parts[part]] for part in ("pos", "linear", "angular"))
        return np.concatenate([angular, linear + cross(angular, self.com(sensors)[:, None] - pos)], axis=2)

    def inertia(self, sensors: Array) -> Array:
        """(M, B, 10) inertia (xx, yy, zz, xy, xz, yz), mass times offset, mass: ``cinert``."""
        away = sensors[:, self._parts["inertia_pos"]] - self.com(sensors)[:, None]
        turn = matrices(sensors[:, self._parts["inertia_quat"]])
        mass = self._mass[:, None]
        packed = np.einsum("nbsk,bk->nbs", turn[:, :, ROW] * turn[:, :, COLUMN], self._inertia)
        packed += mass * (
            np.square(away).sum(2, keepdims=True) * (ROW == COLUMN) - away[:, :, ROW] * away[:, :, COLUMN]
        )
        masses = np.broadcast_to(mass, (*away.shape[:2], 1))
        return np.concatenate([packed, mass * away, masses], axis=2)

    def _places(self, sim: BatchedSim, part: str) -> NDArray[np.int64]:
        """(B, D) where the numbers of a kind of sensor are."""
        return np.stack([_range(sim.sensor(f"{part}_{name}")) for name in self._names])


def _range(place: slice) -> NDArray[np.int64]:
    return np.arange(place.start, place.stop)
