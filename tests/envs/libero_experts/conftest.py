"""A table without LIBERO: a hand that goes where actions send it, a bar, a drawer, a shelf, a basket and a box."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

TOY = """
<mujoco>
  <worldbody>
    <geom name="floor" type="plane" size="2 2 .1"/>
    <body name="robot0_link2" pos="-0.7 0 0.3"><geom type="sphere" size=".01"/></body>
    <body name="gripper0_hand" mocap="true" pos="-0.3 0 0.3" quat="0 .70710678 .70710678 0">
      <site name="gripper0_grip_site"/>
    </body>
    <body name="gripper0_fingers" pos="-0.7 0 1">
      <joint name="gripper0_finger_joint1" type="slide" axis="0 1 0"/><geom type="sphere" size=".01"/>
      <body><joint name="gripper0_finger_joint2" type="slide" axis="0 1 0"/><geom type="sphere" size=".01"/></body>
    </body>
    <body name="bar_1_main" pos="0 0 .02"><freejoint/>
      <geom type="box" size=".1 .02 .02"/>
    </body>
    <body name="desk_cabinet_1_main" pos=".3 .5 0">
      <geom type="box" size=".1 .1 .005" pos="0 0 .205"/>
      <body name="desk_cabinet_1_drawer" pos="0 0 .1">
        <joint name="drawer" type="slide" axis="0 1 0" range="-.2 0"/>
        <geom type="box" size=".1 .1 .005"/>
        <geom type="box" size=".04 .005 .005" pos="0 -.13 0"/>
        <site name="desk_cabinet_1_top_region" type="box" size=".09 .09 .03" pos="0 0 .04"/>
      </body>
    </body>
    <body name="shelf_1_main" pos="0 -.5 0">
      <geom type="box" size=".15 .1 .005" pos="0 0 .1"/>
      <geom type="box" size=".15 .1 .005" pos="0 0 .3"/>
      <geom type="box" size=".005 .1 .15" pos="-.155 0 .15"/>
      <geom type="box" size=".005 .1 .15" pos=".125 0 .15"/>
      <geom type="box" size=".15 .002 .15" pos="0 -.1 .15"/>
      <site name="shelf_1_region" type="box" size=".1 .08 .09" pos="0 0 .2"/>
    </body>
    <body name="basket_1_main" pos="-.3 .5 0">
      <geom type="box" size=".1 .1 .005" pos="0 0 .005"/>
      <geom type="box" size=".1 .005 .05" pos="0 .1 .05"/>
      <site name="basket_1_region" type="box" size=".09 .09 .05" pos="0 0 .05"/>
    </body>
    <body name="awning_1_main" pos="-.3 -.6 .22"><geom type="box" size=".1 .1 .02"/></body>
    <body name="robot0_link7" pos="-0.7 0 1.5">
      <joint name="robot0_joint7" type="hinge" axis="0 0 1" range="-166 166"/><geom type="sphere" size=".01"/>
    </body>
  </worldbody>
</mujoco>
"""


class ToySim:
    """What an expert needs, and a hand without inertia."""

    def __init__(self, goals: Sequence[tuple[str, ...]] = (), holding: Sequence[tuple[str, ...]] = ()) -> None:
        self.model = mujoco.MjModel.from_xml_string(TOY)
        self.data = mujoco.MjData(self.model)
        self.facts = SimpleNamespace(goals=goals)
        self.holding = set(holding)
        self.robosuite: Any = SimpleNamespace(_eval_predicate=lambda words: tuple(words) in self.holding)
        self.settle()

    def settle(self) -> None:
        mujoco.mj_forward(self.model, self.data)

    def move(self, action: NDArray[np.float32]) -> None:
        """The hand goes where the action says: 1.5 cm a step at full speed, as LIBERO's does."""
        assert action.shape == (7,)
        assert np.abs(action).max() <= 1.0
        self.data.mocap_pos[0] += action[:3] * 0.015
        turned = Rotation.from_quat(self.data.mocap_quat[0], scalar_first=True)
        turned = Rotation.from_rotvec(action[3:6] * 0.15) * turned
        self.data.mocap_quat[0] = turned.as_quat(scalar_first=True)
        self.settle()

    def put(self, joint: str, value: Sequence[float] | float) -> None:
        self.data.joint(joint).qpos[:] = value
        self.settle()


@pytest.fixture
def toy() -> type[ToySim]:
    """Makes such a simulation: ``toy(goals, holding)``."""
    return ToySim
