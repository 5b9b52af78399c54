"""The quadruped: its figures, its observation and reward by hand, commands, latency, variants, terrains."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_reward.envs.locomotion.actuation import DelayedTargets
from robo_reward.envs.locomotion.make_quadruped import make_world
from robo_reward.envs.locomotion.quadruped_model import STANDING, Randomisation, build_model, build_variants
from robo_reward.envs.locomotion.quadruped_reward import HEIGHT, Gait, Moment, RewardWeights, planar_error, rewards
from robo_reward.envs.locomotion.quadruped_sight import SCALE, Sight
from robo_reward.envs.locomotion.quadruped_task import REACH
from robo_reward.envs.locomotion.rotations import crossed, gravity_in_body, matrices, to_body, yaw_quaternion
from robo_reward.envs.locomotion.terrain import KINDS, Ground, Kind, Terrain
from robo_reward.errors import UserError
from robo_reward.pushes.forces import turned

STILL = np.zeros((1, 12), np.float32)


def test_the_robots_public_figures() -> None:
    model = build_model(Terrain())
    assert model.body_subtreemass[0] == pytest.approx(4.713 + 4 * (0.696 + 1.013 + 0.166 + 0.06))
    assert (model.nq, model.nv, model.nu) == (19, 18, 12)
    np.testing.assert_allclose(model.actuator_forcerange, np.tile([-33.5, 33.5], (12, 1)))
    data = mujoco.MjData(model)
    data.qpos[7:] = 0.0
    mujoco.mj_kinematics(model, data)
    foot = data.site("FL_foot").xpos - data.body("trunk").xpos
    np.testing.assert_allclose(foot, [0.1805, 0.047 + 0.0838, -0.4], atol=1e-9)


def test_longer_physics_steps_stand_alike() -> None:
    """10 ms steps, chosen for speed, against 2 ms: the same pose after two seconds."""
    heights = []
    for timestep in (0.01, 0.002):
        model = build_model(Terrain())
        model.opt.timestep = timestep
        data = mujoco.MjData(model)
        data.qpos[2], data.qpos[7:], data.ctrl[:] = 0.29, STANDING, STANDING
        mujoco.mj_step(model, data, round(2.0 / timestep))
        heights.append(data.qpos[2])
    assert heights[0] == pytest.approx(heights[1], abs=0.003)
    assert 0.2 < heights[0] < 0.3


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_rotations_are_mujocos(parts: list[float]) -> None:
    q = np.array([parts]) / np.linalg.norm(parts)
    expected = np.zeros(9)
    mujoco.mju_quat2Mat(expected, q[0])
    turn = expected.reshape(3, 3)
    np.testing.assert_allclose(matrices(q)[0], turn, atol=1e-9)
    vector, other = np.array([[1.0, -2.0, 0.5]]), np.array([[0.3, 0.1, -4.0]])
    np.testing.assert_allclose(to_body(matrices(q), vector)[0], turn.T @ vector[0], atol=1e-9)
    np.testing.assert_allclose(gravity_in_body(matrices(q))[0], turn.T @ [0, 0, -1.0], atol=1e-9)
    product = np.zeros((3, 1))
    crossed(vector.T, other.T, product)
    np.testing.assert_allclose(product.T, np.cross(vector, other))


def test_the_observation_by_hand() -> None:
    world = make_world(threads=1, forward=(0.5, 0.5), history=2)
    world.reset(0)
    action = np.linspace(-1, 1, 12, dtype=np.float32)[None]
    old = world.observe().state[0, :50].copy()
    seen = world.step(action).after.state[0]
    qpos, qvel = world.sim.qpos[0], world.sim.qvel[0]
    turn = matrices(qpos[None, 3:7])[0]
    np.testing.assert_allclose(seen[:3], 2 * turn.T @ qvel[:3], atol=1e-5)
    np.testing.assert_allclose(seen[3:6], 0.25 * qvel[3:6], atol=1e-5)
    np.testing.assert_allclose(seen[6:9], -turn[2], atol=1e-5)
    np.testing.assert_allclose(seen[9:12], [1.0, 0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(seen[12:24], qpos[7:] - STANDING, atol=1e-5)
    np.testing.assert_allclose(seen[24:36], qvel[6:] / 20, atol=1e-5)
    np.testing.assert_array_equal(seen[36:48], action[0])
    assert np.square(seen[48:50]).sum() == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_array_equal(seen[50:], old)
    assert len(world.state_names) == len(set(world.state_names)) == 100


def test_the_first_observation_is_that_of_any_other_moment() -> None:
    world = make_world(num_worlds=9, threads=1, sideways=(-0.2, 0.2))
    first = world.reset(3).state
    frame = np.zeros((9, 50), np.float32)
    sight = world.task._moment(np.zeros((9, 12))).sight  # type: ignore[attr-defined]
    sight.write(frame)
    frame *= SCALE
    np.testing.assert_allclose(first, frame, atol=1e-6)


def test_a_push_to_the_left_is_seen_as_one_wherever_the_robot_looks() -> None:
    world: Any = make_world(num_worlds=16)
    world.reset(3)
    assert np.ptp(world.headings()) > 3.0
    left = np.zeros((16, 1, 6))
    left[:, 0, 1] = 100.0
    world.apply_force(turned(left, world))
    world.step(np.zeros((16, 12), np.float32))
    free = make_world(num_worlds=16)
    free.reset(3)
    free.step(np.zeros((16, 12), np.float32))
    # 100 N for 1/50 s on 12.5 kg at most, twice that in the observation's scale; feet on the ground take some of it
    gained = world.observe().state[:, :2] - free.observe().state[:, :2]
    assert (gained[:, 1] > 0.1).all()
    assert np.abs(gained[:, 0]).max() < 0.25 * gained[:, 1].min()
    world.close()
    free.close()


def moment(**changes: Any) -> Moment:
    """A robot that does everything right: 0.5 m/s forward, level, two diagonal feet in the middle of their swing."""
    gait = Gait()
    swing = gait.stance + (1 - gait.stance) / 2
    legs = gait.legs(np.array([swing]))
    up = np.where(legs < gait.stance, 0.02, 0.02 + gait.lift)
    sight = Sight(
        velocity=np.array([[0.5, 0.0, 0.0]]),
        turning=np.zeros((1, 3)),
        gravity=np.array([[0.0, 0.0, -1.0]]),
        command=np.array([[0.5, 0.0, 0.0]]),
        joints=np.zeros((1, 12)),
        joint_speed=np.zeros((1, 12)),
        action=np.zeros((1, 12)),
        phase=np.array([swing]),
    )
    right = {
        "jerk": np.zeros((1, 12)),
        "height": np.array([HEIGHT]),
        "clearance": up,
        "contact": legs < gait.stance,
    }
    sensed = {name: value for name, value in changes.items() if name in Sight._fields}
    others = {name: value for name, value in changes.items() if name not in sensed}
    return Moment(sight._replace(**sensed), **(right | others))


@pytest.mark.parametrize(
    ("changes", "reward", "task"),
    [
        ({}, 2.5, 2.0),
        ({"velocity": np.array([[0.5 + np.sqrt(0.1), 0, 0]])}, 1.5 / np.e + 1.0, 1.5 / np.e + 0.5),
        ({"turning": np.array([[0, 0, 0.5]])}, 2.0 + 0.5 / np.e, 1.5 + 0.5 / np.e),
        ({"contact": np.ones((1, 4), bool)}, 2.25, 2.0),
        ({"clearance": np.full((1, 4), 0.02)}, 2.0, 2.0),
        ({"height": np.array([HEIGHT - 0.1])}, 2.3, 2.0),
        ({"velocity": np.array([[0.5, 0, 0.5]])}, 2.25, 2.0),
        ({"jerk": np.ones((1, 12))}, 2.5 - 0.24, 2.0),
        ({"joint_speed": np.full((1, 12), 1000.0)}, 0.0, 2.0),
    ],
)
def test_the_reward_by_hand(changes: dict[str, Any], reward: float, task: float) -> None:
    now = moment(**changes)
    got = rewards(now, planar_error(now), Gait(), RewardWeights())
    assert got[0][0] == pytest.approx(reward)
    assert got[1][0] == pytest.approx(task)


def test_the_task_reward_keeps_its_bound() -> None:
    """What a disturber's cost is made of: bound less task reward is never negative."""
    world = make_world(num_worlds=16, threads=1)
    world.reset(0)
    rng = np.random.default_rng(0)
    assert world.task_reward_bound is not None
    assert world.task_reward_bound == pytest.approx(0.04)
    for _ in range(50):
        world.step(rng.uniform(-1, 1, (16, 12)).astype(np.float32))
        assert (world.task_reward <= world.task_reward_bound).all()
        assert (world.task_reward >= 0).all()


@settings(deadline=None)
@given(st.integers(0, 12), st.integers(1, 6))
def test_latency_delivers_each_target_so_many_steps_late(delay: int, skip: int) -> None:
    targets = DelayedTargets((0.0, 0.12), 0.01, skip)
    queue = np.full((1, targets.depth, 1), -1.0)
    arrived: list[float] = []
    for decision in range(20):
        target = np.full((1, 1), float(decision))
        arrived += targets.controls(target, queue, np.array([delay]))[0, :, 0].tolist()
    sent = np.repeat(np.arange(20.0), skip)
    np.testing.assert_array_equal(arrived[delay:], sent[: len(sent) - delay])
    assert all(value == -1.0 for value in arrived[:delay])


def test_variants_differ_as_asked_and_the_first_is_nominal() -> None:
    variants = build_variants(Terrain(), Randomisation(3, (0.4, 0.6), (1.0, 2.0), (0.8, 0.9)))
    nominal = build_model(Terrain())
    assert variants[0].body("trunk").mass == nominal.body("trunk").mass
    for model in variants[1:]:
        added = model.body("trunk").mass[0] - nominal.body("trunk").mass[0]
        assert 1.0 <= added <= 2.0
        assert model.body_subtreemass[0] == pytest.approx(nominal.body_subtreemass[0] + added)
        assert 0.4 <= model.geom("floor").friction[0] == model.geom("FL_foot").friction[0] <= 0.6
        assert 0.8 * 20 <= model.actuator_gainprm[0, 0] <= 0.9 * 20
        assert model.actuator_gainprm[0, 0] == pytest.approx(-model.actuator_biasprm[0, 1])


@pytest.mark.parametrize("kind", KINDS)
def test_the_ground_that_is_looked_up_is_the_ground_that_is_touched(kind: Kind) -> None:
    terrain = Terrain(kind, 1.0)
    model, ground = build_model(terrain), Ground(terrain)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    rng = np.random.default_rng(0)
    points = rng.uniform(-9, 9, (40, 2))  # between the samples MuJoCo has triangles, we interpolate: a small difference
    hit = np.zeros(1, np.int32)
    for (x, y), height in zip(points, ground.height(points), strict=True):
        if np.hypot(x, y) < 0.6:
            continue
        far = mujoco.mj_ray(model, data, [x, y, 5.0], [0, 0, -1.0], None, 1, -1, hit)
        assert 5.0 - far == pytest.approx(height, abs=4e-3)


def test_walkers_are_carried_back_to_the_same_ground() -> None:
    ground = Ground(Terrain("rough", 1.0))
    points = np.array([[12.3, -3.0], [-11.2, 14.9], [9.9, -9.9]])
    back = ground.carried_back(points)
    assert (np.abs(back) <= 10.0).all()
    np.testing.assert_allclose(ground.height(back), ground.height(points), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_robots_start_standing_on_every_terrain(kind: Kind) -> None:
    world = make_world(num_worlds=16, threads=1, terrain=kind, difficulty=0.3)
    world.reset(0)
    fallen = sum(world.step(np.repeat(STILL, 16, 0)).terminated.sum() for _ in range(25))
    assert fallen <= 1
    assert world.nan_resets == 0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"terrain": "lava"}, "terrain"),
        ({"difficulty": 0.0}, "difficulty"),
        ({"forward": (0.8, 0.3)}, "forward"),
        ({"latency": (0.0, 1.0)}, "latency"),
        ({"latency": 1.0}, r"env\.latency=\[1\.0, 1\.0\]"),
        ({"latency": 0.004}, r"0\.004 s would be none at all, .* steps of 0\.01 s"),
        ({"latency": (0.0, 0.005)}, r"0\.005 s would be none at all"),
        ({"latency": (0.004, 0.03)}, r"env\.latency=\[0\.004, 0\.03\]: 0\.004 s would be none"),
        ({"forward": (0.1, 0.2, 0.3)}, r"env\.forward=.* or one number for both"),
        ({"forward": "ab"}, r"env\.forward=ab must be"),
        ({"turn": None}, r"env\.turn=None must be"),
        ({"history": 0}, "history"),
        ({"bodies": ("tail",)}, "body"),
        ({"num_worlds": 0}, "num_worlds"),
        ({"threads": -1}, "threads"),
        ({"horizon": 0}, "horizon"),
        ({"workers": "subprocess"}, "threads"),
        ({"gait": {"frequency": 50.0}}, "frequency"),
        ({"gait": {"tempo": 2.0}}, "tempo"),
        ({"reward": {"velosity": 1.0}}, "velocity"),
        ({"reward": {"sharpness": -0.1}}, "sharpness=-0.1 must be above 0"),
        ({"reward": {"velocity": -1.0}}, "velocity=-1.0"),
        ({"reward": {"turn": -1.0}}, "turn=-1.0"),
        ({"reward": {"pose": float("nan")}}, r"env\.reward\.pose=nan must be a finite"),
        ({"randomise": {"variants": 0}}, "variants"),
        ({"randomise": {"variants": 2, "payload": (-9.0, 0.0)}}, "payload"),
        ({"views": ("back",)}, "view"),
    ],
)
def test_bad_settings_are_told(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        make_world(**wrong)


def test_one_number_is_a_lower_and_an_upper_bound_and_one_name_a_list_of_one() -> None:
    world = make_world(num_worlds=3, threads=1, forward=0.5, latency=0.02, bodies="trunk")
    world.reset(0)
    np.testing.assert_array_equal(world.task.memory["command"], [[0.5, 0.0, 0.0]] * 3)
    np.testing.assert_array_equal(world.task.memory["delay"], [2] * 3)
    assert world.bodies == ("trunk",)


def test_actions_of_one_reach_as_far_as_documented() -> None:
    world = make_world(threads=1)
    world.reset(0)
    np.testing.assert_allclose(world.task.control(np.ones((1, 12))), (STANDING + REACH)[None])
    np.testing.assert_allclose(yaw_quaternion(np.array([np.pi]))[0], [0, 0, 0, 1], atol=1e-12)
