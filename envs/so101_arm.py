"""The SO-101 in MuJoCo: its joints in LeRobot's units, and servos that can be switched off, weakened or blocked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.rendering import choose_renderer
from robo_reward.joint_goals import Drive, Joints, JointSpec, approach

if TYPE_CHECKING:
    import mujoco

XML = Path(__file__).parent / "assets" / "so101" / "so101.xml"
NAMES = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
STATE_NAMES = tuple(f"{name}.pos" for name in NAMES)
"""LeRobot's keys, in its order; also those of the actions."""
GRIPPER = 5
JAMMED = 1e4
"""Damping in Nms/rad of a joint that is blocked."""
TICK = 2 * np.pi / 4096
SERVO_SPEED, SERVO_ACCELERATION = 3400 * TICK, 254 * 100 * TICK
"""rad/s and rad/s^2 that an STS3215 allows itself as LeRobot configures it (Acceleration 254, no Goal_Velocity)."""
MARGIN = 5.0
"""Degrees that the arm's guard keeps off each end of a joint's range; the gripper may shut."""
HOME = (0.0, -40.0, 35.0, 90.0, 0.0, 30.0)
"""LeRobot's units: the hand 15 cm over the table, pointing downwards."""
REST = (0.0, -99.5, 89.0, 77.5, 0.0, 5.0)
"""LeRobot's units: folded; here the arm stays when it has no power."""


def load_model() -> mujoco.MjModel:
    """A model of one's own, arm and all objects."""
    choose_renderer()
    import mujoco

    return mujoco.MjModel.from_xml_path(str(XML))


def joint_specs(model: Any) -> tuple[JointSpec, ...]:
    """The six joints, ranges as the model has them. The gripper's middle is its zero, as LeRobot's homing makes it."""
    ranges = [tuple(float(v) for v in model.joint(name).range) for name in NAMES]
    return tuple(
        JointSpec(
            name,
            low,
            high,
            zero=(low + high) / 2 if index == GRIPPER else 0.0,
            percent=index == GRIPPER,
            full_turn=name == "wrist_roll",
        )
        for index, (name, (low, high)) in enumerate(zip(NAMES, ranges, strict=True))
    )


class So101Arm:
    """The arm of one simulation. Angles (6,) radians in ``NAMES``' order; units: degrees, gripper 0 (shut) to 100."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self.model, self.data = model, data
        self.joints = joint_specs(model)
        self._low = np.array([joint.low for joint in self.joints])
        self._high = np.array([joint.high for joint in self.joints])
        self._qpos = np.array([model.joint(name).qposadr[0] for name in NAMES])
        self._dof = np.array([model.joint(name).dofadr[0] for name in NAMES])
        self._servo = np.array([model.actuator(name).id for name in NAMES])
        self._gain = model.actuator_gainprm[self._servo].copy()
        self._bias = model.actuator_biasprm[self._servo].copy()
        self._strongest = model.actuator_forcerange[self._servo, 1].copy()
        self._damping = model.dof_damping[self._dof].copy()
        self._point: Joints = np.zeros(6)
        self._velocity: Joints = np.zeros(6)
        self._powered: NDArray[np.bool_] = np.ones(6, bool)
        self.low, self.high = self.to_units(self._low), self.to_units(self._high)

    def within(self, margin: float) -> tuple[Joints, Joints]:
        """The range less ``margin`` degrees at each end, the gripper's whole: what goals may be, behind a guard."""
        off = np.full(6, margin)
        off[GRIPPER] = 0.0
        return self.low + off, self.high - off

    @property
    def fingertips(self) -> NDArray[np.float64]:
        """(3,) metres: between the jaws' ends."""
        place: NDArray[np.float64] = self.data.site("tcp").xpos.copy()
        return place

    def to_units(self, angles: Joints) -> Joints:
        """(6,) radians to LeRobot's units."""
        units = np.degrees(angles)
        low, high = self._low[GRIPPER], self._high[GRIPPER]
        units[GRIPPER] = (angles[GRIPPER] - low) / (high - low) * 100
        return units

    def to_angles(self, units: Any) -> Joints:
        """(6,) of LeRobot's units to radians."""
        given = np.asarray(units, np.float64)
        angles = np.radians(given)
        low, high = self._low[GRIPPER], self._high[GRIPPER]
        angles[GRIPPER] = low + given[GRIPPER] / 100 * (high - low)
        return angles

    def angles(self) -> Joints:
        """(6,) radians now."""
        found: Joints = self.data.qpos[self._qpos].copy()
        return found

    def speeds(self) -> Joints:
        """(6,) rad/s now."""
        found: Joints = self.data.qvel[self._dof].copy()
        return found

    def loads(self) -> Joints:
        """(6,) servo torque as a share of the strongest, -1 to 1."""
        found: Joints = self.data.actuator_force[self._servo] / self._strongest
        return found

    def place(self, units: Any) -> None:
        """Puts the arm somewhere, at rest, with its servos' goals there."""
        angles = np.clip(self.to_angles(units), self._low, self._high)
        self.data.qpos[self._qpos], self.data.qvel[self._dof] = angles, 0.0
        self._point, self._velocity = angles, np.zeros(6)
        self.data.ctrl[self._servo] = angles

    def follow(self, units: Any) -> Drive:
        """The drive of healthy servos towards a goal in LeRobot's units."""
        ones = np.ones(6)
        return Drive(
            self.to_angles(units), ones > 0, ones * SERVO_SPEED, ones * SERVO_ACCELERATION, ones, np.zeros(6, bool)
        )

    def advance(self, steps: int, drive: Drive) -> None:
        """``steps`` simulator steps under a drive."""
        import mujoco

        self._obey(drive)
        seconds = float(self.model.opt.timestep)
        goal = np.clip(drive.goal, self._low, self._high)
        for _ in range(steps):
            self._point, self._velocity = approach(
                self._point, self._velocity, goal, drive.speed, drive.acceleration, seconds
            )
            self.data.ctrl[self._servo] = self._point
            mujoco.mj_step(self.model, self.data)

    def state(self) -> dict[str, Any]:
        """What the servos remember, copied."""
        return {"point": self._point.copy(), "velocity": self._velocity.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        self._point, self._velocity = state["point"].copy(), state["velocity"].copy()

    def _obey(self, drive: Drive) -> None:
        # A servo without torque, or just given torque, starts its way to the goal from where the joint is.
        restart = ~drive.powered | ~self._powered
        self._point = np.where(restart, self.angles(), self._point)
        self._velocity = np.where(restart, 0.0, self._velocity)
        self._powered = drive.powered.copy()
        on = drive.powered[:, None]
        self.model.actuator_gainprm[self._servo] = np.where(on, self._gain, 0.0)
        self.model.actuator_biasprm[self._servo] = np.where(on, self._bias, 0.0)
        strongest = np.maximum(drive.torque, 1e-3) * self._strongest
        self.model.actuator_forcerange[self._servo] = np.stack([-strongest, strongest], 1)
        self.model.dof_damping[self._dof] = np.where(drive.jammed, JAMMED, self._damping)
