"""Rearranged scenes: things and arm set aside at random, for pictures with known places. Nothing moves in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.libero.sim import LiberoSim
from robo_reward.envs.libero.starts import DEPTH, JOINT_NOISE

Array = NDArray[np.float64]
TRIES = 8
DAMPING = 1e-3


@dataclass(frozen=True, slots=True)
class Scatter:
    """How far a scene is rearranged. ``target``, ``others``: metres in x and in y, either way.

    ``near``: share of the scenes in which the hand is above the target, about ``aside`` metres off and up to ``high``
    over it, turned by about ``turn`` radians. ``wide``: share in which the arm's joints deviate by ``joints`` radians;
    in the rest they do as in moved starts.
    """

    target: float = 0.08
    others: float = 0.05
    near: float = 0.5
    aside: float = 0.03
    high: float = 0.18
    turn: float = 0.3
    wide: float = 0.25
    joints: float = 0.12


def scatter(sim: LiberoSim, resting: Array, rng: np.random.Generator, by: Scatter) -> None:
    """Sets the scene ``resting`` (nq,) anew: what runs into something else is drawn again, at last it stays at home.

    Things keep their height, so one that stood on another may float: the place is as true as before.
    """
    import mujoco

    model, data = sim.model, sim.data
    data.qpos[:] = resting
    data.qvel[:] = 0.0
    arm, kind = np.array(sim.robosuite.robots[0]._ref_joint_pos_indexes), rng.random()
    noise = by.joints if by.near < kind <= by.near + by.wide else JOINT_NOISE
    data.qpos[arm] += rng.normal(0.0, noise, len(arm))
    mujoco.mj_forward(model, data)
    _set_aside(sim, resting, rng, by)
    if kind <= by.near and sim.facts.target is not None:
        above = np.array([*rng.normal(0.0, by.aside, 2), rng.uniform(0.0, by.high)])
        reach(sim, data.xpos[sim.robosuite.obj_body_id[sim.facts.target]] + above)
        data.qpos[arm[-1]] += rng.normal(0.0, by.turn)
        mujoco.mj_forward(model, data)
    sim.refresh()
    sim.seen.take_places()
    sim.seen.take_joints()


def reach(sim: LiberoSim, place: Array, steps: int = 15) -> None:
    """Bends the arm so that the grip is at ``place`` (3,), turned as it was: damped least squares on its Jacobian."""
    import mujoco

    model, data, robot = sim.model, sim.data, sim.robosuite.robots[0]
    arm, dofs = np.array(robot._ref_joint_pos_indexes), np.array(robot._ref_joint_vel_indexes)
    site = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, robot.controller.eef_name)
    turned, jacobian = sim.arm.hand[1], np.zeros((6, model.nv))
    for _ in range(steps):
        hand, turn = sim.arm.hand
        off = 0.5 * sum(np.cross(turn[:, k], turned[:, k]) for k in range(3))
        missing = np.concatenate([np.clip(place - hand, -0.1, 0.1), off])
        mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], site)
        mine = jacobian[:, dofs]
        data.qpos[arm] += mine.T @ np.linalg.solve(mine @ mine.T + DAMPING * np.eye(6), missing)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)


def _set_aside(sim: LiberoSim, resting: Array, rng: np.random.Generator, by: Scatter) -> None:
    """Target and other things somewhere near their homes, where they fit."""
    import mujoco

    model, data = sim.model, sim.data
    homes = {name: int(model.joint(thing.joints[-1]).qposadr[0]) for name, thing in _loose(sim).items()}
    allowed = {name: _depth(sim, name) + DEPTH for name in homes}
    waiting = list(homes)
    for attempt in range(TRIES + 1):
        for name in waiting:
            far = (by.target if name == sim.facts.target else by.others) * (attempt < TRIES)
            data.qpos[homes[name] :][:2] = resting[homes[name] :][:2] + rng.uniform(-far, far, 2)
        mujoco.mj_forward(model, data)
        waiting = [name for name in homes if _depth(sim, name) > allowed[name]]
        if not waiting:
            break


def _loose(sim: LiberoSim) -> dict[str, Any]:
    """The things that can be anywhere, by name."""
    import mujoco

    free = mujoco.mjtJoint.mjJNT_FREE
    return {
        name: thing
        for name, thing in sim.robosuite.objects_dict.items()
        if thing.joints and sim.model.joint(thing.joints[-1]).type[0] == free
    }


def _depth(sim: LiberoSim, name: str) -> float:
    """How deep a thing sinks into anything but the robot, in metres."""
    model, data = sim.model, sim.data
    roots = model.body_rootid[model.geom_bodyid[data.contact.geom]]
    robot = model.body_rootid[model.body(sim.robosuite.robots[0].robot_model.root_body).id]
    mine = (roots == model.body_rootid[sim.robosuite.obj_body_id[name]]).any(1) & (roots != robot).all(1)
    return float(max(0.0, -data.contact.dist[mine].min(initial=0.0)))
