"""Refuses, before any torque, a policy that was made for another arm, other units, other cameras, or is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from robo_reward.contracts import Observation, Policy
from robo_reward.errors import UserError
from robo_reward.real_robot.deploy.interface import UNITS, PolicyInterface
from robo_reward.runs.checkpoint import load_arrays, load_tensors

REHEARSALS = 3


def check_robot(interface: PolicyInterface, robot: Any) -> None:
    """Joints, their order and their units. Raises UserError that names both sides."""
    joints = tuple(robot.action_features)
    if joints != interface.joints:
        same = "the same joints in another order" if set(joints) == set(interface.joints) else "other joints"
        raise UserError(
            f"the policy commands {list(interface.joints)}, the robot has {same}: {list(joints)}. Deploy a policy that "
            "was trained for this arm"
        )
    units = UNITS if getattr(robot.inner, "use_degrees", True) else "-100..100"
    if units != interface.units:
        raise UserError(
            f"the policy speaks {interface.units}, the robot {units}: set robot.inner.use_degrees="
            f"{'true' if interface.units == UNITS else 'false'} and calibrate as in training"
        )


def check_finite(folder: Path) -> None:
    """Raises UserError where a saved weight or normalisation statistic is missing its value (NaN or infinite)."""
    for file in sorted(folder.glob("*.safetensors")):
        arrays = load_arrays(file) if ".arrays." in file.name else load_tensors(file)
        for key, held in arrays.items():
            values = np.asarray(held)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise UserError(
                    f"'{file}' holds values that are not finite (entry {key} of shape {values.shape}): the policy's "
                    "weights or its normalisation statistics are damaged; train again or take another checkpoint"
                )


def rehearse(policy: Policy, interface: PolicyInterface) -> None:
    """Lets the policy act on a made-up look before the arm has torque: what it loads late is loaded, its shape shows.

    Raises UserError where it cannot, or its actions do not fit the joints.
    """
    seen = made_up(interface)
    for _ in range(REHEARSALS):
        policy.reset(np.ones(1, bool))
        try:
            chunk = np.asarray(policy.act(seen))
        except Exception as error:  # whatever it is, better now than with the arm in the air
            raise UserError(
                f"the policy cannot act on {len(interface.joints)} joints and the cameras {list(interface.views)} "
                f"({type(error).__name__}: {' '.join(str(error).split())[:200]})"
            ) from error
        joints = len(interface.joints)
        if chunk.ndim != 3 or chunk.shape[0] != 1 or chunk.shape[2] != joints or not np.isfinite(chunk).all():
            raise UserError(
                f"the policy gives actions of shape {chunk.shape}{'' if np.isfinite(chunk).all() else ', not finite'}; "
                f"this arm needs (1, K, {joints})"
            )
    policy.reset(np.ones(1, bool))


def made_up(interface: PolicyInterface) -> Observation:
    """A look as the arm would give it: the start pose, and reference pictures or grey ones."""
    grey = np.full((interface.height, interface.width, 3), 128, np.uint8)
    views = {view: interface.references.get(view, grey)[None] for view in interface.views}
    state = np.array(interface.start or (np.array(interface.low) + np.array(interface.high)) / 2, np.float32)
    return Observation(views, state[None], (interface.task,))
