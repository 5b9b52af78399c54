"""Gymnasium tasks by id: checkers, scaled actions, real terminations, cameras."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check
from stable_baselines3.common.env_checker import check_env as sb3_check

from robo_reward.envs.gym_env import GymEnv, make_world
from robo_reward.envs.rendering import ExtraCamera
from robo_reward.envs.task_settings import Camerawork, Clock
from robo_reward.errors import UserError

SMALL = Camerawork((), 32, 32)


@pytest.mark.parametrize("task", ["Ant-v5", "Reacher-v5", "HalfCheetah-v5"])
def test_both_checkers_pass(task: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*infinity.*")
        gymnasium_check(GymEnv(task, SMALL, Clock(50)))
        sb3_check(GymEnv(task, SMALL, Clock(50)))


def test_humanoids_actions_are_scaled_to_one() -> None:
    env = GymEnv("Humanoid-v5", SMALL, Clock(50))
    assert (env.action_space.low == -1).all()
    env.reset(seed=0)
    env.step(np.ones(17, np.float32))
    np.testing.assert_allclose(env.data.ctrl, 0.4)


def test_the_dynamics_are_gymnasiums_own() -> None:
    env, reference = GymEnv("HalfCheetah-v5", SMALL, Clock(1000, 2)), gymnasium.make("HalfCheetah-v5")
    env.reset(seed=0)
    seed = int(np.random.SeedSequence((0, 0)).generate_state(1)[0]) % 2**31
    reference.reset(seed=seed)
    action = np.linspace(-1, 1, 6, dtype=np.float32)
    for _ in range(5):
        state, reward, *_ = env.step(action)
        first, second = reference.step(action), reference.step(action)
        np.testing.assert_array_equal(state, second[0].astype(np.float32))
        assert reward == pytest.approx(float(first[1]) + float(second[1]))


def test_a_fall_terminates_and_a_time_limit_truncates() -> None:
    walker = GymEnv("Walker2d-v5", SMALL, Clock(500))
    walker.reset(seed=0)
    for _ in range(499):
        _, _, terminated, truncated, info = walker.step(np.ones(6, np.float32))
        if terminated:
            break
    assert terminated
    assert not truncated
    assert info["success"] is None
    reacher = GymEnv("Reacher-v5", SMALL, Clock(3, 2))
    reacher.reset(seed=0)
    assert [reacher.step(np.zeros(2, np.float32))[2:4] for _ in range(2)] == [(False, False), (False, True)]


def test_default_and_extra_cameras() -> None:
    assert GymEnv("Ant-v5", SMALL, Clock(5)).view_names == ("track",)
    assert GymEnv("Reacher-v5", SMALL, Clock(5)).view_names == ("free",)
    side = {"side": ExtraCamera((0, -4, 1), track="torso")}
    env = GymEnv("Ant-v5", Camerawork(("side", "track"), 32, 48, cameras=side), Clock(5))
    env.reset(seed=0)
    assert env.render_view("side").shape == (32, 48, 3)
    assert env.render_view("side").std() > 5
    env.close()


def test_wrong_names_are_explained() -> None:
    for call, message in (
        (lambda: make_world("Ant-v55"), "did you mean 'Ant-v5'"),
        (lambda: make_world("Antt-v5"), "did you mean 'Ant-v5'"),
        (lambda: make_world("CartPole-v1"), "does not run in MuJoCo"),
        (lambda: make_world("Ant-v5", views=["trak"]), "did you mean 'track'"),
    ):
        with pytest.raises(UserError, match=message):
            call()


def test_a_world_has_the_registered_horizon_and_the_simulators_pace() -> None:
    world = make_world("Reacher-v5", num_worlds=2)
    assert (world.horizon, world.fps, world.state_size) == (50, 50.0, 10)
    assert make_world("HalfCheetah-v5", action_repeat=3).horizon == 334
