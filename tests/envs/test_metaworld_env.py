"""Meta-World: all 50 tasks, seeds that mean something, upright pictures, experts that solve."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check
from stable_baselines3.common.env_checker import check_env as sb3_check

from robo_reward.envs.metaworld_env import RELATIVE_NAMES, MetaWorldEnv, make_world, relative_features, task_name
from robo_reward.envs.metaworld_instructions import INSTRUCTIONS
from robo_reward.envs.task_settings import Camerawork, Clock
from robo_reward.errors import UserError

SMALL = Camerawork(("corner2", "behindGripper"), 32, 32)


def task(name: str, clock: Clock = Clock(150, 2)) -> MetaWorldEnv:  # noqa: B008  (frozen)
    return MetaWorldEnv(name, SMALL, clock)


@pytest.mark.parametrize("name", ["drawer-open", "push", "assembly"])
def test_both_checkers_pass(name: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*infinity.*|.*having a spec.*")
        gymnasium_check(task(name))
        sb3_check(task(name))


def test_all_fifty_tasks_start_step_and_say_what_they_ask_for() -> None:
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    assert {f"{name}-v3" for name in INSTRUCTIONS} == set(ALL_V3_ENVIRONMENTS)
    assert len(set(INSTRUCTIONS.values())) == 50
    for name, words in INSTRUCTIONS.items():
        assert re.fullmatch(r"[a-z ]{10,80}", words)
        env = task(name)
        first, other = env.reset(seed=1)[0], env.reset(seed=2)[0]
        assert first.shape == (29,)
        assert (first != other).any(), name
        np.testing.assert_array_equal(env.reset(seed=1)[0], first)
        state, *_, info = env.step(env.expert_action())
        assert np.isfinite(state).all()
        assert isinstance(info["success"], bool)


def test_relative_features_by_hand() -> None:
    raw = np.zeros(39)
    raw[0:3], raw[3], raw[4:7], raw[7:11], raw[11:14] = (0.1, 0.6, 0.2), 0.5, (0.0, 0.7, 0.0), (1, 0, 0, 0), (0.2, 0, 0)
    raw[18:21], raw[36:39] = (0.09, 0.6, 0.2), (0.1, 0.8, 0.1)
    hand, gripper, thing, quaternion, second, goal = (
        [0.5, 3, 1],
        [1],
        [0, 3.5, 0],
        [1, 0, 0, 0],
        [1, 0, 0],
        [0.5, 4, 0.5],
    )
    differences = [1, -1, 2, 1, 1, 1, 0, 2, -1]
    expected = [*hand, *gripper, *thing, *quaternion, *second, *goal, *differences, 0.5, 0, 0]
    np.testing.assert_allclose(relative_features(raw), expected, atol=1e-6)
    assert len(RELATIVE_NAMES) == len(expected) == 29
    named = dict(zip(RELATIVE_NAMES, expected, strict=True))
    assert (named["hand_minus_object_z"], named["goal_minus_hand_y"], named["hand_velocity_x"]) == (2, 2, 0.5)


def test_raw_features_are_meta_worlds_own() -> None:
    env = MetaWorldEnv("reach", SMALL, Clock(10), "raw")
    state = env.reset(seed=0)[0]
    assert state.shape == (39,)
    assert state[36:39].any()  # the goal can be seen


@pytest.mark.parametrize("name", ["drawer-open", "door-open", "window-open"])
def test_the_expert_solves_fresh_seeds(name: str) -> None:
    env = task(name)
    for seed in (11, 12):
        env.reset(seed=seed)
        reached, ended = False, False
        while not ended:
            *_, terminated, truncated, info = env.step(env.expert_action())
            reached, ended = reached or info["success"], terminated or truncated
            assert not terminated
        assert reached
        assert env._steps == 150


def test_the_class_built_directly_is_the_registered_environment() -> None:
    import gymnasium
    import metaworld  # noqa: F401  (registers Meta-World/MT1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        registered = gymnasium.make("Meta-World/MT1", env_name="push-v3", seed=0)
    registered.reset()
    reference = registered.unwrapped
    reference._freeze_rand_vec, reference.seeded_rand_vec = False, True  # type: ignore[attr-defined]
    env = MetaWorldEnv("push", SMALL, Clock(150), "raw")
    env._begin(5)
    reference.seed(5)  # type: ignore[attr-defined]
    reference.reset()
    actions = np.random.default_rng(0).uniform(-1, 1, (20, 4)).astype(np.float32)
    for action in actions:
        np.testing.assert_array_equal(env._advance(action).state, reference.step(action)[0].astype(np.float32))


def test_fixed_cameras_stand_upright() -> None:
    env = task("drawer-open")
    env.reset(seed=0)
    for name in ("corner", "corner2", "corner3"):
        up = env.data.camera(name).xmat.reshape(3, 3)[:, 1]
        assert up[2] > 0.5, name
    frame = env.render_view("corner2", "fast", (96, 96)).astype(int)
    red = np.argwhere((frame[..., 0] > 2 * frame[..., 1]) & (frame[..., 0] > 60))
    green = np.argwhere((frame[..., 1] > frame[..., 0] + 25) & (frame[..., 1] > 60))
    assert len(green) > 30  # the drawer is seen,
    assert red[:, 0].min() < green[:, 0].min()  # the arm reaches down to it,
    assert red[:, 1].mean() < green[:, 1].mean()  # from the left
    env.close()


def test_a_snapshot_continues_exactly_in_another_copy() -> None:
    env, other = task("door-open"), task("door-open")
    env.reset(seed=3)
    actions = np.random.default_rng(0).uniform(-1, 1, (20, 4)).astype(np.float32)
    for action in actions[:5]:
        env.step(action)
    saved, picture = env.snapshot(), env.render_view("corner2")
    ahead = [env.step(a)[:2] for a in actions[5:]]
    other.reset(seed=8)
    for copy in (env, other):
        copy.restore(saved)
        np.testing.assert_array_equal(copy.render_view("corner2"), picture)
        for action, (state, reward) in zip(actions[5:], ahead, strict=True):
            again = copy.step(action)
            np.testing.assert_array_equal(again[0], state)
            assert again[1] == reward
        copy.close()


def test_names() -> None:
    assert task_name("drawer-open-v3") == task_name("drawer_open") == "drawer-open"
    with pytest.raises(UserError, match="did you mean 'drawer-open'"):
        make_world("drawr-open")
    with pytest.raises(UserError, match="did you mean 'corner2'"):
        make_world("drawer-open", views=["corner22"])
    with pytest.raises(UserError, match="did you mean 'relative'"):
        make_world("drawer-open", features="relativ")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"env\.horizon=0 .* must be 1 or more"):
        make_world("drawer-open", horizon=0)
