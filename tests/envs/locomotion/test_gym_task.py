"""Batched Ant and Humanoid against Gymnasium's own environments."""

from __future__ import annotations

from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest

from robo_reward.contracts import World
from robo_reward.envs.locomotion.make_gym import make_world
from robo_reward.errors import UserError
from robo_reward.pushes.forces import Pushable

TASKS = ["Ant-v5", "Humanoid-v5"]


def twin(name: str, world: Any, index: int) -> Any:
    """Gymnasium's environment in the state of one world."""
    core: Any = gymnasium.make(name).unwrapped
    core.reset(seed=0)
    core.set_state(world.sim.qpos[index].copy(), world.sim.qvel[index].copy())
    return core


@pytest.mark.parametrize("name", TASKS)
def test_states_and_rewards_are_gymnasiums(name: str) -> None:
    """One world beside two others, until it falls: states to rounding, rewards but for the last Runge-Kutta stage."""
    world = make_world(name, num_worlds=3, threads=1, oracle="reward")
    first = world.reset(5)
    core = twin(name, world, 1)
    np.testing.assert_allclose(first.state[1], core._get_obs(), atol=1e-6)
    rng = np.random.default_rng(0)
    own = world.sim.model.nq - 2 + world.sim.model.nv
    for _ in range(30):
        action = rng.uniform(-1, 1, (3, world.sim.model.nu)).astype(np.float32)
        step = world.step(action)
        seen, reward, terminated, _, _ = core.step(action[1] * core.action_space.high)
        np.testing.assert_allclose(step.after.state[1, :own], seen[:own], atol=1e-5)
        assert step.env_reward[1] == pytest.approx(reward, abs=0.1)
        assert step.terminated[1] == terminated
        if terminated:
            break
        np.testing.assert_allclose(world.sim.qpos[1], core.data.qpos, atol=1e-6)


@pytest.mark.parametrize("name", TASKS)
def test_observations_are_mujocos_arrays_of_that_state(name: str) -> None:
    """Inertias, velocities, motors and contact wrenches from sensors equal what MuJoCo computes for the state."""
    world = make_world(name, num_worlds=2, threads=1)
    world.reset(1)
    rng = np.random.default_rng(2)
    touched = 0.0
    model = gymnasium.make(name).unwrapped.model  # type: ignore[attr-defined]
    data = mujoco.MjData(model)
    for _ in range(60):
        action = rng.uniform(-1, 1, (2, model.nu)).astype(np.float32)
        step = world.step(action)
        if step.done[0]:
            continue
        data.qpos[:], data.qvel[:] = world.sim.qpos[0], world.sim.qvel[0]
        data.ctrl[:] = action[0] * model.actuator_ctrlrange[:, 1]
        mujoco.mj_forward(model, data)
        mujoco.mj_rnePostConstraint(model, data)
        wrench = data.cfrc_ext[1:].ravel()
        parts = [data.qpos[2:], data.qvel]
        if name == "Humanoid-v5":
            parts += [data.cinert[1:].ravel(), data.cvel[1:].ravel(), data.qfrc_actuator[6:], wrench]
        else:
            parts += [np.clip(wrench, -1, 1)]
        np.testing.assert_allclose(step.after.state[0], np.concatenate(parts), rtol=2e-4, atol=2e-4)
        touched = max(touched, np.abs(wrench).max())
    assert touched > 1.0


@pytest.mark.parametrize("name", TASKS)
def test_starts_have_gymnasiums_distribution(name: str) -> None:
    world = make_world(name, num_worlds=600, threads=1)
    world.reset(0)
    core: Any = gymnasium.make(name).unwrapped
    theirs = []
    for seed in range(600):
        core.reset(seed=seed)
        theirs.append(np.concatenate([core.data.qpos, core.data.qvel]))
    mine = np.concatenate([world.sim.qpos, world.sim.qvel], axis=1)
    spread = np.std(theirs, axis=0)
    np.testing.assert_allclose(mine.mean(0), np.mean(theirs, axis=0), atol=5 * spread.max() / np.sqrt(600))
    np.testing.assert_allclose(mine.std(0), spread, rtol=0.2)
    assert np.abs(world.observe().state[:, -6:]).max() == 0.0  # Gymnasium shows no contacts after a reset


def test_it_is_a_world_that_can_be_pushed() -> None:
    world = make_world("Ant-v5", bodies=("torso", "front_left_leg"))
    assert isinstance(world, World)
    assert isinstance(world, Pushable)
    assert world.bodies == ("torso", "front_left_leg")
    with pytest.raises(UserError, match="torso"):
        make_world("Ant-v5", bodies=("torzo",))
    with pytest.raises(UserError, match="env=gym"):
        make_world("Walker2d-v5")
    with pytest.raises(UserError, match="no success test"):
        make_world("Ant-v5", oracle="success")
