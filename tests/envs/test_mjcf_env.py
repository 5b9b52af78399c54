"""A user's own model: state, scaled actions, sensors, cameras from yaml, success and reward by function."""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env as gymnasium_check
from stable_baselines3.common.env_checker import check_env as sb3_check

from robo_reward.contracts import Oracle
from robo_reward.envs.mjcf_env import MjcfEnv, make_world
from robo_reward.envs.rendering import ExtraCamera
from robo_reward.envs.task_settings import Camerawork, Clock
from robo_reward.errors import UserError

HERE = Path(__file__).parent
FRONT = {"front": {"pos": [0, -2, 0.5], "target": [0, 0, 0.1], "fovy": 45}}


@pytest.fixture
def xml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [*sys.path, str(HERE)])
    from slider_task import SLIDER  # type: ignore[import-not-found]

    path = tmp_path / "slider.xml"
    path.write_text(SLIDER)
    return path


def slider(xml: Path, **settings: object) -> MjcfEnv:
    camerawork = Camerawork(("front",), cameras={"front": ExtraCamera.from_settings("front", FRONT["front"])})
    return MjcfEnv(xml, camerawork, Clock(30), "push the block", **settings)  # type: ignore[arg-type]


def test_both_checkers_pass(xml: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*infinity.*")
        gymnasium_check(slider(xml))
        sb3_check(slider(xml))


def test_state_is_joints_then_velocities_then_named_sensors(xml: Path) -> None:
    env = slider(xml, keyframe="left")
    state, info = env.reset(seed=0)
    np.testing.assert_allclose(state, [-0.5, 0, -0.5, 0, 0.1], atol=1e-6)
    assert env.state_names == ("qpos_0", "qvel_0", "tip_0", "tip_1", "tip_2")
    assert info == {"success": None}
    moved = env.step(np.ones(1, np.float32))[0]
    assert moved[0] == pytest.approx(moved[2])  # the sensor belongs to this state, not to the one before


@pytest.mark.parametrize(("action", "force"), [(-1.0, -5.0), (0.0, 5.0), (1.0, 15.0), (7.0, 15.0)])
def test_actions_span_the_control_range(xml: Path, action: float, force: float) -> None:
    env = slider(xml)
    env.reset(seed=0)
    env.step(np.array([action], np.float32))
    assert env.data.ctrl[0] == pytest.approx(force)
    # 1 kg under a damping of 20 Ns/m settles at force / 20 with a time constant of 50 ms.
    assert env.data.qvel[0] == pytest.approx(force / 20 * (1 - np.exp(-1)), rel=0.06)


def test_success_and_reward_come_from_the_users_functions(xml: Path) -> None:
    world = make_world(
        str(xml), cameras=FRONT, success="slider_task:success", reward="slider_task:reward", oracle="reward"
    )
    world.reset(0)
    assert not world.annotated_success()[0]
    for _ in range(20):
        transition = world.step(np.ones((1, 1), np.float32))
    assert transition.env_reward[0] == pytest.approx(transition.after.state[0, 0])
    assert world.annotated_success()[0] == (transition.after.state[0, 0] > 0.5) == True  # noqa: E712
    frame = transition.after.views["front"][0].astype(int)
    red = np.argwhere((frame[..., 0] > 60) & (frame[..., 1] < 40))
    assert red[:, 1].mean() > 40  # the camera looks along +y: pushing towards +x moves the block to the right
    world.close()


def test_reset_noise_is_bounded_seeded_and_within_the_joints_limits(xml: Path) -> None:
    env = slider(xml, reset_noise=0.2)
    starts = [float(env.reset(seed=i)[0][0]) for i in range(20)]
    assert starts == [float(env.reset(seed=i)[0][0]) for i in range(20)]
    assert len(set(starts)) == 20
    assert max(map(abs, starts)) <= 0.2
    wide = slider(xml, reset_noise=50.0)
    assert max(abs(float(wide.reset(seed=i)[0][0])) for i in range(5)) <= 1.0


def test_wrong_input_is_explained(xml: Path, tmp_path: Path) -> None:
    broken, idle, bare = (tmp_path / f"{name}.xml" for name in ("broken", "idle", "bare"))
    bare.write_text(re.sub("<keyframe>.*</keyframe>", "", xml.read_text()))
    broken.write_text("<mujoco><worldbody><geom/></mujoco>")
    idle.write_text("<mujoco><worldbody><geom size='1'/></worldbody></mujoco>")
    for call, message in (
        (lambda: make_world(str(tmp_path / "none.xml")), "does not exist"),
        (lambda: make_world(str(broken)), "MuJoCo cannot load"),
        (lambda: make_world(str(idle)), "no actuators"),
        (lambda: make_world(str(xml), views=["frnt"], cameras=FRONT), "did you mean 'front'"),
        (lambda: make_world(str(xml), success="slider_task.success"), "module:function"),
        (lambda: make_world(str(xml), success="slider_task:sucess"), "did you mean 'success'"),
        (lambda: make_world(str(xml), success="no_such_module:f"), "'no_such_module' was not found"),
        (lambda: make_world(str(xml), keyframe="lift"), "did you mean 'left'"),
        (lambda: make_world(str(xml), control_hz=0), r"env\.control_hz=0 must be above 0"),
        (lambda: make_world(str(bare), keyframe="home"), r"env\.keyframe=home: the model has no named keyframe"),
        (lambda: make_world(str(xml), horizon=0), "horizon"),
        (lambda: make_world(str(xml), num_worlds=0), "num_worlds"),
        (lambda: make_world(str(xml), cameras={"c": {"pos": [1, 1, 1], "track": "blok"}}), "'block'"),
    ):
        with pytest.raises(UserError, match=message):
            call()


def test_a_task_without_a_test_says_so(xml: Path) -> None:
    world = make_world(str(xml), cameras=FRONT)
    world.reset(0)
    with pytest.raises(UserError, match="no success test"):
        world.annotated_success()
    with pytest.raises(UserError, match=r"no scripted expert.*collect teleop=keyboard.*data=FOLDER"):
        world.expert_action()
    world.close()


@pytest.mark.parametrize(("oracle", "missing"), [("reward", "env.reward"), ("success", "env.success")])
def test_an_oracle_that_nobody_gave_is_refused(xml: Path, oracle: Oracle, missing: str) -> None:
    with pytest.raises(UserError, match=missing):
        make_world(str(xml), cameras=FRONT, oracle=oracle)
