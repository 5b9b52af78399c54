"""A task for tests: a block on a rail has to reach x = 0.5."""

from __future__ import annotations

from typing import Any

SLIDER = """
<mujoco model="slider">
  <option timestep="0.005"/>
  <worldbody>
    <light pos="0 0 3"/>
    <geom type="plane" size="2 2 .1" rgba=".4 .4 .4 1"/>
    <body name="block" pos="0 0 .1">
      <joint name="rail" type="slide" axis="1 0 0" limited="true" range="-1 1" damping="20"/>
      <geom type="box" size=".1 .1 .1" rgba="1 0 0 1" mass="1"/>
      <site name="tip"/>
    </body>
  </worldbody>
  <actuator><motor name="push" joint="rail" ctrllimited="true" ctrlrange="-5 15"/></actuator>
  <sensor><framepos name="tip" objtype="site" objname="tip"/></sensor>
  <keyframe><key name="left" qpos="-0.5"/></keyframe>
</mujoco>
"""


def success(model: Any, data: Any) -> bool:
    return bool(data.qpos[0] > 0.5)


def reward(model: Any, data: Any) -> float:
    return float(data.qpos[0])
