"""Forces on bodies of single-environment worlds: the same physics in this process and in others, for one step only."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_reward.contracts import Oracle
from robo_reward.envs.mjcf_env import make_world
from robo_reward.envs.vector_world import VectorWorld
from robo_reward.pushes.forces import Pushable

FREE_BALL = """
<mujoco><option gravity="0 0 0" timestep="0.01"/><worldbody>
<body name="ball"><joint name="x" type="slide" axis="1 0 0"/><joint name="y" type="slide" axis="0 1 0"/>
<geom size=".1" mass="2"/></body><body name="other" pos="0 3 0"><joint name="o" type="slide" axis="1 0 0"/>
<geom size=".1" mass="1"/></body></worldbody>
<actuator><motor joint="x" ctrlrange="-1 1"/></actuator></mujoco>
"""


@pytest.fixture
def make(tmp_path: Path) -> Any:
    xml = tmp_path / "ball.xml"
    xml.write_text(FREE_BALL)
    return partial(make_world, str(xml), views=(), horizon=40, action_repeat=5, reset_noise=0.0)


def pushed(world: VectorWorld) -> np.ndarray:
    world.reset(0)
    force = np.zeros((2, 2, 6))
    force[1, 0, 0], force[1, 0, 1] = 4.0, -2.0
    states = []
    for step in range(3):
        if step == 1:
            world.apply_force(force)
        world.step(np.zeros((2, 1), np.float32))
        states.append(world.observe().state.copy())
    return np.stack(states)


def test_a_push_changes_the_momentum_by_force_times_time(make: Any) -> None:
    world: VectorWorld = make(num_worlds=2)
    assert isinstance(world, Pushable)
    assert world.bodies == ("ball", "other")
    states = pushed(world)  # pyright: ignore[reportArgumentType]
    speeds = states[:, 1, -3:]
    assert not states[:, 0].any()
    assert not speeds[0].any()
    # 4 N and -2 N on 2 kg for one decision
    assert world.fps == 4.0
    assert speeds[1] == pytest.approx([4.0 / 2 / 4, -2.0 / 2 / 4, 0.0], abs=1e-6)
    assert speeds[2] == pytest.approx(speeds[1], abs=1e-6)
    world.close()


def test_what_cannot_move_is_no_body_to_push(tmp_path: Path) -> None:
    fixed = '<body name="table" pos="0 -3 0"><geom size=".1"/></body><body name="aim" mocap="true"/></worldbody>'
    xml = tmp_path / "fixed.xml"
    xml.write_text(FREE_BALL.replace("</worldbody>", fixed))
    world = make_world(str(xml), views=(), horizon=4)
    assert world.bodies == ("ball", "other")
    world.close()


def test_it_is_the_same_in_other_processes(make: Any) -> None:
    here, there = make(num_worlds=2), make(num_worlds=2, workers="subprocess")
    assert np.array_equal(pushed(here), pushed(there))
    here.close()
    there.close()


def test_forces_of_another_shape_or_without_end_are_refused(make: Any) -> None:
    world = make(num_worlds=2)
    world.reset(0)
    with pytest.raises(ValueError, match=r"\(2, 2, 6\)"):
        world.apply_force(np.zeros((2, 1, 6)))
    with pytest.raises(ValueError, match="finite"):
        world.apply_force(np.full((2, 2, 6), np.nan))
    world.close()


def test_a_push_that_blows_the_simulation_up_is_counted(make: Any) -> None:
    world = make(num_worlds=2)
    world.reset(0)
    force = np.zeros((2, 2, 6))
    force[0, 0, 0] = 1e16
    world.apply_force(force)
    transition = world.step(np.zeros((2, 1), np.float32))
    assert world.nan_resets == 1
    assert world.broken.tolist() == transition.truncated.tolist() == [True, False]
    assert np.isfinite(transition.after.state).all()
    world.step(np.zeros((2, 1), np.float32))
    assert world.nan_resets == 1
    assert not world.broken.any()
    world.close()


@pytest.mark.parametrize("oracle", ["none", "success"])
def test_a_simulation_that_blew_up_is_no_success(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, oracle: Oracle
) -> None:
    """Whatever the success test makes of the state that is left."""
    (tmp_path / "rr_anything.py").write_text("def success(model, data):\n    return True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    world = make(num_worlds=2, horizon=1, success="rr_anything:success", oracle=oracle)
    world.reset(0)
    force = np.zeros((2, 2, 6))
    force[0, 0, 0] = 1e16
    world.apply_force(force)
    transition = world.step(np.zeros((2, 1), np.float32))
    assert world.broken.tolist() == [True, False]
    assert not transition.terminated[0]
    world.sealed.unseal()
    assert [one.success for one in world.sealed.outcomes()] == [False, True]
    world.close()
