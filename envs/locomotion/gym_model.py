"""Gymnasium's Ant and Humanoid with sensors for what their observations read out of MuJoCo's inner arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from robo_reward.envs.locomotion.batched_sim import Array, BatchedSim
from robo_reward.envs.locomotion.rotations import crossed

if TYPE_CHECKING:
    import mujoco

ROW, COLUMN = (0, 1, 2, 0, 0, 1), (0, 1, 2, 1, 2, 2)
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
        for name, kind in (
            ("pos", kinds.mjSENS_FRAMEPOS),
            ("axis_x", kinds.mjSENS_FRAMEXAXIS),
            ("axis_y", kinds.mjSENS_FRAMEYAXIS),
            ("axis_z", kinds.mjSENS_FRAMEZAXIS),
            ("linear", kinds.mjSENS_FRAMELINVEL),
            ("angular", kinds.mjSENS_FRAMEANGVEL),
        ):
            for body in bodies:  # of their inertial frames
                spec.add_sensor(name=f"{name}_{body.name}", type=kind, objtype=things.mjOBJ_BODY, objname=body.name)
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
        self.contacts = self._place(sim, "contact")
        self._mass: Array = np.asarray(model.body_mass[1:])
        # (3, B): a body's inertia is the sum over its axes, each as long as the root of its moment, times themselves
        self._roots: Array = np.sqrt(np.asarray(model.body_inertia[1:]).T)
        if whole_body:
            parts = ("pos", "axis_x", "axis_y", "axis_z", "linear", "angular")
            self._parts = {part: self._place(sim, part) for part in parts}
            joints = [model.joint(i).name for i in range(1, model.njnt)]
            self.motors = sim.sensors_of([f"motor_{joint}" for joint in joints])

    @property
    def count(self) -> int:
        """Bodies, the world not among them."""
        return len(self._names)

    def com(self, sensors: Array) -> Array:
        """(M, 3) the walker's centre of mass."""
        return sensors[:, self._com]

    def contact_wrench(self, sensors: Array) -> Array:
        """(M, B, 6) torque and force of all contacts: ``cfrc_ext``. The sensor tells what the body does to others."""
        theirs = self._of(sensors, self.contacts)
        found = np.empty((6, *theirs.shape[1:]))
        crossed(theirs[:3], theirs[6:] - self._middle(sensors), found[:3])
        found[:3] -= theirs[3:6]
        np.negative(theirs[:3], out=found[3:])
        return found.transpose(1, 2, 0)

    def motion(self, sensors: Array) -> tuple[Array, Array]:
        """``cinert`` (M, B, 10): inertia (xx, yy, zz, xy, xz, yz), mass times offset, mass; and ``cvel`` (M, B, 6):
        angular velocity, and linear velocity at the centre of mass.
        """
        away = self._of(sensors, self._parts["pos"]) - self._middle(sensors)
        return self._inertia(sensors, away).transpose(1, 2, 0), self._velocity(sensors, away).transpose(1, 2, 0)

    def _inertia(self, sensors: Array, away: Array) -> Array:
        """(10, M, B) of bodies whose centres are ``away`` (3, M, B) from the walker's."""
        found = np.empty((10, *away.shape[1:]))
        moved = np.multiply(away, self._mass, out=found[6:9])
        found[9] = self._mass
        axes = [self._of(sensors, self._parts[f"axis_{name}"]) for name in "xyz"]
        for axis, root in zip(axes, self._roots, strict=True):
            axis *= root
        far = (moved * away).sum(0)
        for entry, row, column in zip(found, ROW, COLUMN, strict=False):
            np.multiply(axes[0][row], axes[0][column], out=entry)
            entry += axes[1][row] * axes[1][column]
            entry += axes[2][row] * axes[2][column]
            entry -= moved[row] * away[column]
            if row == column:
                entry += far
        return found

    def _velocity(self, sensors: Array, away: Array) -> Array:
        """(6, M, B) of bodies whose centres are ``away`` (3, M, B) from the walker's."""
        found = np.empty((6, *away.shape[1:]))
        found[:3] = self._of(sensors, self._parts["angular"])
        crossed(away, found[:3], found[3:])
        found[3:] += self._of(sensors, self._parts["linear"])
        return found

    def _place(self, sim: BatchedSim, part: str) -> slice:
        """Where the numbers of a kind of sensor are, body after body."""
        return sim.sensors_of([f"{part}_{name}" for name in self._names])

    def _of(self, sensors: Array, place: slice) -> Array:
        """(D, M, B) a copy with the numbers of one kind side by side, which is what array operations are fast on."""
        theirs = sensors[:, place].reshape(len(sensors), self.count, -1)
        return theirs.transpose(2, 0, 1).copy()

    def _middle(self, sensors: Array) -> Array:
        """(3, M, 1) the walker's centre of mass."""
        return self.com(sensors).T[:, :, None]
