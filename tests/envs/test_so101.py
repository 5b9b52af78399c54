"""The SO-101 twin: LeRobot's units, servos that obey, tasks that experts solve, and LeRobot's classes on its bus."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as sb3_check

from robo_reward.build import build
from robo_reward.envs.so101_arm import HOME, NAMES, REST, STATE_NAMES, So101Arm, load_model
from robo_reward.envs.so101_env import So101Env, make_world
from robo_reward.envs.so101_tasks import find_task
from robo_reward.envs.task_settings import Camerawork, Clock
from robo_reward.errors import UserError
from robo_reward.joint_goals import Drive, GoalSteps, approach


def twin(task: str = "reach", **more: Any) -> So101Env:
    return So101Env(task, Camerawork(("front",)), Clock(40), **more)


@pytest.fixture
def arm() -> So101Arm:
    model = load_model()
    import mujoco

    data = mujoco.MjData(model)
    made = So101Arm(model, data)
    made.place(HOME)
    mujoco.mj_forward(model, data)
    return made


def test_kinematics_by_hand(arm: So101Arm) -> None:
    import mujoco

    arm.place([0, 0, 0, 0, 0, 50])
    mujoco.mj_forward(arm.model, arm.data)
    # base .0388 + .0304, upper arm .028 forwards and .1126 up, forearm .1349, wrist .0611, fingertips .09
    ahead = 0.0388 + 0.0304 + 0.028 + 0.1349 + 0.0611 + 0.09
    np.testing.assert_allclose(arm.fingertips, [ahead, 0.006, 0.0624 + 0.0542 + 0.1126 + 0.0052], atol=1e-9)
    arm.place([90, 0, 0, 0, 0, 50])  # positive pan turns to the right
    mujoco.mj_forward(arm.model, arm.data)
    np.testing.assert_allclose(arm.fingertips[1], -(ahead - 0.0388), atol=1e-9)


def test_units_are_lerobots(arm: So101Arm) -> None:
    assert list(STATE_NAMES) == [f"{name}.pos" for name in NAMES]
    np.testing.assert_allclose(arm.low, [-110, -100, -96.8, -95, -157.2, 0])
    np.testing.assert_allclose(arm.high, [110, 100, 96.8, 95, 162.8, 100])
    np.testing.assert_allclose(arm.to_angles([90, 0, 0, 0, 0, 0])[[0, 5]], [np.pi / 2, -np.pi / 18])
    np.testing.assert_allclose(arm.to_units(arm.to_angles(HOME)), HOME)


def test_servos_go_there_and_stay_where_power_is_off(arm: So101Arm) -> None:
    goal = np.add(HOME, [20, 10, -10, 5, 30, 40])
    arm.advance(600, arm.follow(goal))
    np.testing.assert_allclose(arm.to_units(arm.angles()), goal, atol=0.3)  # gravity pulls a little
    drive = arm.follow(goal)
    off = replace(drive, powered=np.zeros(6, bool))
    arm.place(REST)
    arm.advance(1200, off)
    np.testing.assert_allclose(arm.to_units(arm.angles()), REST, atol=2.0)  # folded, it does not fall
    arm.place([0, 0, 0, 0, 0, 50])
    arm.advance(1200, off)
    assert arm.to_units(arm.angles())[1] > 10  # stretched out, it does


def test_a_jammed_joint_stays_and_the_others_go(arm: So101Arm) -> None:
    goal = np.add(HOME, [20, 0, 20, 0, 0, 0])
    jammed = np.arange(6) == 2
    arm.advance(600, replace(arm.follow(goal), jammed=jammed))
    moved = arm.to_units(arm.angles()) - HOME
    assert abs(moved[2]) < 2
    assert moved[0] == pytest.approx(20, abs=0.3)
    assert abs(arm.loads()[2]) == pytest.approx(1, abs=0.05)


def test_torque_comes_on_without_a_jump_of_the_set_point(arm: So101Arm) -> None:
    off: Drive = replace(arm.follow(HOME), powered=np.zeros(6, bool))
    arm.place(REST)
    arm.advance(300, off)
    slow = replace(arm.follow(HOME), speed=np.full(6, np.radians(10)))
    arm.advance(60, slow)  # 0.1 s at 10 degrees a second
    assert np.abs(arm.to_units(arm.angles())[:5] - np.array(REST)[:5]).max() < 3


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.floats(-3, 3), min_size=2, max_size=2),
    st.lists(st.lists(st.floats(-3, 3), min_size=2, max_size=2), min_size=1, max_size=5),
)
def test_the_way_to_a_goal_keeps_its_bounds(start: list[float], goals: list[list[float]]) -> None:
    at, velocity = np.array(start), np.zeros(2)
    speed, acceleration, dt = np.array([1.0, 2.0]), np.array([5.0, 3.0]), 0.01
    for goal in goals:
        for _ in range(30):
            at, new = approach(at, velocity, np.array(goal), speed, acceleration, dt)
            assert (np.abs(new) <= np.maximum(speed, np.abs(velocity)) + 1e-9).all()
            assert (np.abs(new - velocity) <= acceleration * dt + 1e-9).all()
            velocity = new
    at, velocity = np.array(start), np.zeros(2)
    side = np.sign(np.array(goals[-1]) - at)
    for _ in range(1500):
        at, velocity = approach(at, velocity, np.array(goals[-1]), speed, acceleration, dt)
        assert ((np.array(goals[-1]) - at) * side >= -1e-9).all()  # from rest it does not pass its goal
    np.testing.assert_allclose(at, goals[-1], atol=1e-3)


def test_goal_steps_by_hand() -> None:
    steps = GoalSteps((-10.0, 0.0), (10.0, 100.0), (60.0, 120.0), 30.0)
    np.testing.assert_allclose(steps.goal([0, 50], [0.5, -1]), [1, 46])
    np.testing.assert_allclose(steps.goal([9.5, 2], [7, -1]), [10, 0])  # beyond the bound, and beyond the range
    np.testing.assert_allclose(steps.action([0, 50], [1, 46]), [0.5, -1])
    with pytest.raises(UserError, match="above 0"):
        GoalSteps((0.0,), (1.0,), (1.0,), 0.0)


@pytest.mark.parametrize("control", ["steps", "goals"])
def test_both_checkers_pass(control: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gymnasium_check(twin(control=control))
        sb3_check(twin(control=control))


@pytest.mark.parametrize(("task", "least"), [("reach", 5), ("push", 4), ("push-back", 4), ("pick-and-place", 4)])
def test_experts_solve_their_tasks(task: str, least: int) -> None:
    env, solved = So101Env(task, Camerawork(("front",)), Clock(170)), 0
    for seed in range(5):
        env.reset(seed=seed)
        solved += any(env.step(env.expert_action())[4]["success"] for _ in range(169))
    assert solved >= least


def test_nothing_succeeds_by_itself_and_a_pushed_cube_is_not_placed() -> None:
    for task in ("reach", "push", "push-back", "pick-and-place"):
        env = twin(task)
        for seed in range(4):
            env.reset(seed=seed)
            assert not any(env.step(np.zeros(6, np.float32))[4]["success"] for _ in range(30))
    env = twin("pick-and-place")
    env.reset(seed=0)
    place = find_task("pick-and-place").aim(env.data)
    first = env.model.joint("cube").qposadr[0]
    env.data.qpos[first : first + 3] = place
    assert env.step(np.zeros(6, np.float32))[4]["success"]
    env.data.qpos[first : first + 3] = np.add(place, [0, 0, 0.05])  # over the shelf, not on it
    assert not env.step(np.zeros(6, np.float32))[4]["success"]


def test_goals_and_steps_are_the_same_motion() -> None:
    by_steps, by_goals = twin(control="steps"), twin(control="goals")
    for env in (by_steps, by_goals):
        env.reset(seed=3)
    for _ in range(25):
        one = by_steps.step(by_steps.expert_action())[0]
        other = by_goals.step(by_goals.expert_action())[0]
    np.testing.assert_allclose(one, other, atol=1e-3)
    far = by_goals.step(np.array([110, 0, 0, 0, 0, 0], np.float32))
    assert np.abs(far[0] - other)[:5].max() < 60 / 30 * 1.5  # a goal moves 2 degrees a decision, whatever is asked


def test_snapshots_continue_exactly() -> None:
    world = make_world("push", num_worlds=1, features="places")
    world.reset(5)
    for _ in range(10):
        world.step(world.expert_action())
    kept = world.snapshot()
    ran = [world.step(world.expert_action()).after.state.copy() for _ in range(15)]
    world.restore(kept)
    again = [world.step(world.expert_action()).after.state.copy() for _ in range(15)]
    np.testing.assert_array_equal(ran, again)
    assert world.landmarks is not None
    hand = world.landmarks.of(ran[-1], "hand")[0]
    assert np.linalg.norm(hand - np.asarray(world._vec.envs[0].unwrapped.arm.fingertips)) < 1e-5  # type: ignore[attr-defined]
    world.close()


def test_views_show_the_task() -> None:
    world = make_world("push", views=("front", "wrist", "top", "side"))
    seen = world.reset(0).views
    front = seen["front"][0].astype(int)
    assert front.shape == (48, 64, 3)
    assert ((front[..., 0] > 90) & (front[..., 1] < 50)).any()  # the red cube
    assert ((front[..., 2] > 120) & (front[..., 0] < 80)).any()  # the blue disc
    assert all(seen[view].std() > 5 for view in world.view_names)
    world.close()


def test_wrong_settings_are_explained() -> None:
    for more, message in (
        ({"task": "rech"}, "did you mean 'reach'"),
        ({"features": "place"}, "did you mean 'places'"),
        ({"control": "step"}, "did you mean 'steps'"),
        ({"speed": 0.0}, "env.speed"),
        ({"fps": 1000.0}, "env.fps"),
        ({"margin": 60.0}, "env.margin"),
        ({"views": ("frnt",)}, "did you mean 'front'"),
    ):
        with pytest.raises(UserError, match=message):
            make_world(**more)  # type: ignore[arg-type]


def test_lerobot_drives_the_twin_and_sees_it(tmp_path: Path) -> None:
    pytest.importorskip("scservo_sdk")
    pytest.importorskip("zmq")
    from lerobot.cameras.zmq import ZMQCameraConfig
    from lerobot.robots.so_follower import SO101Follower, SO101FollowerConfig

    from robo_reward.real_robot.emulation.camera_server import CameraSettings
    from robo_reward.real_robot.emulation.emulated_arm import EmulatedArm
    from robo_reward.real_robot.emulation.patience import be_patient
    from robo_reward.real_robot.emulation.plant import Plant

    with hydra.initialize_config_module("robo_reward.configs", version_base=None):
        plant = build(hydra.compose(None, ["+plant=so101", "plant.task=push"]).plant)
    assert isinstance(plant, Plant)
    with EmulatedArm(plant, cameras=CameraSettings(("front",))) as arm:
        arm.write_calibration(tmp_path, "twin")
        camera = ZMQCameraConfig(
            server_address="127.0.0.1",
            port=arm.camera_port or 0,
            camera_name="front",
            width=64,
            height=48,
            fps=30,
            timeout_ms=1500,
        )
        robot = SO101Follower(
            SO101FollowerConfig(port=arm.port, id="twin", calibration_dir=tmp_path, cameras={"front": camera})
        )
        be_patient(robot.bus)
        robot.connect(calibrate=False)
        before = robot.get_observation()
        for name, place in zip(STATE_NAMES, REST, strict=True):
            assert before[name] == pytest.approx(place, abs=2.0)
        goal = dict(zip(STATE_NAMES, HOME, strict=True))
        robot.send_action(goal)
        until = time.perf_counter() + 20
        while max(abs(arm.positions()[key] - goal[key]) for key in goal) > 0.5 and time.perf_counter() < until:
            time.sleep(0.05)
        after = robot.get_observation()
        assert {key: after[key] for key in goal} == pytest.approx(goal, abs=0.5)
        wide = abs(after["front"].astype(int) - before["front"].astype(int)).max(-1) > 40
        assert wide.mean() > 0.01  # the arm is somewhere else in the picture
        robot.disconnect()
        assert not any(arm.torque().values())
    assert not plant.success()
