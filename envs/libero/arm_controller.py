"""Drives the arm and gripper of a robosuite environment between MuJoCo's two half steps, as OSC_POSE does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.libero import osc_law

if TYPE_CHECKING:
    import mujoco

Array = NDArray[np.float64]
MEMORY = (
    "ee_pos",
    "ee_ori_mat",
    "joint_pos",
    "joint_vel",
    "J_full",
    "mass_matrix",
    "goal_pos",
    "goal_ori",
    "new_update",
)
"""What robosuite's controller remembers from one step to the next."""
FINGER_SPEED = np.array([-0.01, 0.01])


class ArmController:
    """robosuite's controller object decides goals; the torques of each substep come from ``osc_law``.

    Views into MuJoCo's arrays are taken once: they stay valid as long as ``data`` lives.
    """

    def __init__(self, robot: Any, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        import mujoco

        self._robot = robot
        eef = robot.controller.eef_name
        self._site = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, eef)
        first, n = int(robot.controller.qvel_index[0]), len(robot.controller.qvel_index)
        joints = np.array(robot.controller.qpos_index)
        if (np.diff(joints) != 1).any() or (np.diff(robot.controller.qvel_index) != 1).any():
            raise ValueError(f"the arm's joints must be consecutive, got {joints}")
        self._first = first
        self._site_positions, self._site_rotations = data.site_xpos, data.site_xmat
        self._com = data.subtree_com[model.body_rootid[model.site_bodyid[self._site]]]
        self._cdof, self._inertia = data.cdof, data.qM
        self._starts = np.array(model.dof_Madr, np.int64)
        self._angles, self._rates = data.qpos[joints[0] : joints[0] + n], data.qvel[first : first + n]
        self._bias = data.qfrc_bias[first : first + n]
        self._limits = np.array(robot.torque_limits, np.float64)
        self._motors = np.array(robot._ref_joint_actuator_indexes)
        self._fingers = np.array(robot._ref_joint_gripper_actuator_indexes)
        ranges = model.actuator_ctrlrange[self._fingers]
        self._middle, self._half = 0.5 * (ranges[:, 1] + ranges[:, 0]), 0.5 * (ranges[:, 1] - ranges[:, 0])
        self._ctrl = data.ctrl
        self._hand_body = int(model.body(robot.robot_model.eef_name).id)
        self._finger_joints = np.array(robot._ref_gripper_joint_pos_indexes)
        self._torques = np.zeros(n)
        self._stale = False
        self._opening = np.zeros(2)
        self._grip = np.zeros(2)
        self.forget()

    def forget(self) -> None:
        """After robosuite's own reset: takes over the controller that it made, with an idle gripper."""
        controller = self._robot.controller
        self._gains = np.array([controller.kp, controller.kd], np.float64)
        self._rest = np.array(controller.initial_joint, np.float64)
        self._opening = np.zeros(2)

    def pose(self, data: mujoco.MjData) -> tuple[Array, Array, Array]:
        """What the sensors tell of ``data``: hand position (3,), orientation (x, y, z, w), both fingers (2,)."""
        w, x, y, z = data.xquat[self._hand_body]
        return data.site_xpos[self._site], np.array([x, y, z, w]), data.qpos[self._finger_joints]

    @property
    def hand(self) -> tuple[Array, Array]:
        """Position (3,) and rotation (3, 3) of the grip site, as MuJoCo last computed them."""
        return self._site_positions[self._site].copy(), self._site_rotations[self._site].reshape(3, 3).copy()

    def aim(self, action: Array) -> None:
        """Sets the goal of a control step; to be called after the first mj_step1.

        robosuite leaves its controller at the home pose when a state is set, so that the first step after a reset
        starts from there; this is kept.
        """
        controller = self._robot.controller
        self._stale = not controller.new_update
        if not self._stale:
            controller.ee_pos, controller.ee_ori_mat = self.hand
            controller.new_update = False
        controller.set_goal(action[:6])
        self._goal_position = np.array(controller.goal_pos, np.float64)
        self._goal_rotation = np.ascontiguousarray(controller.goal_ori, np.float64)
        self._grip = FINGER_SPEED * np.sign(action[6])

    def act(self) -> None:
        """Writes the controls of one substep; to be called between mj_step1 and mj_step2."""
        if self._stale:
            self._act_on_memory()
        else:
            osc_law.substep(
                self._site,
                self._site_positions,
                self._site_rotations,
                self._com,
                self._cdof,
                self._inertia,
                self._starts,
                self._angles,
                self._rates,
                self._bias,
                self._goal_position,
                self._goal_rotation,
                self._gains,
                self._rest,
                self._limits,
                self._first,
                self._torques,
            )
        self._ctrl[self._motors] = self._torques
        self._opening = np.minimum(np.maximum(self._opening + self._grip, -1.0), 1.0)
        self._ctrl[self._fingers] = self._middle + self._half * self._opening

    def finish(self) -> None:
        """Ends a control step: the next one looks at the arm anew."""
        self._robot.controller.new_update = True

    def memory(self) -> dict[str, Any]:
        """What must be kept to continue from here."""
        kept = {name: getattr(self._robot.controller, name) for name in MEMORY}
        copied = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in kept.items()}
        return {**copied, "opening": self._opening.copy()}

    def recall(self, memory: dict[str, Any]) -> None:
        """Returns to what ``memory`` gave."""
        for name in MEMORY:
            value = memory[name]
            setattr(self._robot.controller, name, value.copy() if isinstance(value, np.ndarray) else value)
        self._opening = memory["opening"].copy()

    def _act_on_memory(self) -> None:
        c = self._robot.controller
        torques = osc_law.arm_torques(
            np.ascontiguousarray(c.ee_pos),
            np.ascontiguousarray(c.ee_ori_mat),
            np.ascontiguousarray(c.J_full),
            np.ascontiguousarray(c.mass_matrix),
            np.ascontiguousarray(c.joint_pos),
            np.ascontiguousarray(c.joint_vel),
            self._goal_position,
            self._goal_rotation,
            self._gains,
            self._rest,
        )
        self._torques[:] = np.clip(torques + self._bias, self._limits[0], self._limits[1])
        self._stale = False
