"""What LiberoEnv shows is what LeRobot's environment and processor give a policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robo_reward.envs.libero.catalogue import find_tasks, shipped_states
from robo_reward.envs.libero.libero_env import LiberoEnv, axis_angle
from robo_reward.envs.libero.pictures import ScenePictures, robot_meshes
from robo_reward.envs.libero.sim import LiberoSim
from robo_reward.envs.task_settings import Camerawork, Clock

SimOf = Callable[[str, int], LiberoSim]
SIZE = 64


ACTIONS = np.random.default_rng(0).uniform(-1, 1, (3, 7)).astype(np.float32)


@pytest.fixture(scope="module")
def lerobots(assets: str) -> list[dict[str, Any]]:
    """LeRobot's observations of libero_object 0 at the reset and after each action, through its own processor.

    Its environment is closed when ours makes a GL context, for robosuite draws into whatever context is current.
    """
    pytest.importorskip("lerobot")
    from robo_reward.envs.libero.installation import import_libero

    import_libero()
    from lerobot.envs.libero import LiberoEnv as LeRobotEnv
    from libero.libero import benchmark  # type: ignore[import-untyped]

    suite = benchmark.get_benchmark_dict()["libero_object"]()
    env = LeRobotEnv(
        suite,
        0,
        "libero_object",
        obs_type="pixels_agent_pos",
        num_steps_wait=0,
        observation_width=SIZE,
        observation_height=SIZE,
    )
    seen = [processed(env.reset(seed=5)[0]), *(processed(env.step(action)[0]) for action in ACTIONS)]
    assert env.task_description == find_tasks("libero_object", 0)[0].instruction
    env.close()
    return seen


def processed(seen: Any) -> dict[str, Any]:
    """An observation after LeRobot's LiberoProcessorStep: channels first, one environment."""
    import torch
    from lerobot.processor.env_processor import LiberoProcessorStep

    pixels = {
        f"observation.images.{k}": torch.as_tensor(v.copy()).permute(2, 0, 1)[None] for k, v in seen["pixels"].items()
    }
    parts = {
        part: {k: torch.as_tensor(np.array(v))[None] for k, v in values.items()}
        for part, values in seen["robot_state"].items()
    }
    given: dict[str, Any] = LiberoProcessorStep().observation({**pixels, "observation.robot_state": parts})
    return given


@pytest.fixture
def env(assets: str, ours: LiberoEnv) -> LiberoEnv:
    """Where LeRobot's environment was at its reset."""
    ours.sim.reset(5, shipped_states(ours.sim.task)[0])
    return ours


@pytest.fixture(scope="module")
def ours(assets: str) -> LiberoEnv:
    work = Camerawork(("image", "image2"), SIZE, SIZE, "pretty")
    made = LiberoEnv(find_tasks("libero_object", 0), work, Clock(280), "shipped")
    made.reset(seed=0)
    return made


def test_views_and_state_are_lerobots(lerobots: list[dict[str, Any]], env: LiberoEnv) -> None:
    for step, wanted in enumerate(lerobots):
        if step:
            env.sim.step(ACTIONS[step - 1])
        np.testing.assert_allclose(env._state(), wanted["observation.state"][0].numpy(), atol=1e-6)
        for view in ("image", "image2"):
            picture = wanted[f"observation.images.{view}"][0].permute(1, 2, 0).numpy()
            assert np.abs(env.render_view(view).astype(float) - picture).mean() < 0.01
            fast = env.render_view(view, "fast").astype(float)
            assert 0 < np.abs(fast - picture).mean() < 8  # shadows and smooth edges are missing, nothing else


def test_the_present_is_a_little_ahead(env: LiberoEnv) -> None:
    before = env.sim.arm.pose(env.sim.data)[0].copy()
    env.sim.step(ACTIONS[0])
    shown, now = env.sim.arm.pose(env.sim.seen.data)[0], env.sim.arm.pose(env.sim.data)[0]
    assert 0 < np.abs(now - shown).max() < 0.3 * np.abs(now - before).max()


def test_axis_angle_by_hand() -> None:
    np.testing.assert_array_equal(axis_angle(np.array([0.0, 0, 0, 1])), np.zeros(3))
    half = np.sqrt(0.5)
    np.testing.assert_allclose(axis_angle(np.array([0, 0, half, half])), [0, 0, np.pi / 2])
    np.testing.assert_allclose(axis_angle(np.array([1.0, 0, 0, 0])), [np.pi, 0, 0])


@pytest.mark.parametrize("camera", ["agentview", "robot0_eye_in_hand", "frontview"])
def test_leaving_out_what_is_out_of_sight_changes_no_picture(sim_of: SimOf, camera: str) -> None:
    sim = sim_of("libero_object", 0)
    sim.reset(3)
    culled, whole = (ScenePictures(sim.model, sim.data, SIZE, 2 * SIZE) for _ in range(2))
    seen = culled._in_sight(camera)
    assert not seen.all()
    whole._in_sight = lambda camera: np.ones(len(seen), np.bool_)  # type: ignore[method-assign]
    np.testing.assert_array_equal(culled.render(camera), whole.render(camera))
    culled.close()
    whole.close()


def test_lighter_meshes_are_few_and_hardly_another_picture(sim_of: SimOf) -> None:
    sim = sim_of("libero_object", 6)
    sim.reset(0)
    before, drawn = sim.model.mesh_facenum.copy(), {}
    for meshes in ("light", "lighter"):
        pictures = ScenePictures(sim.model, sim.data, SIZE, SIZE, meshes=meshes)  # type: ignore[arg-type]
        with pictures._lightened():
            faces = int(sim.model.mesh_facenum.sum())
        drawn[meshes] = (faces, pictures.render("agentview").astype(float))
        pictures.close()
    np.testing.assert_array_equal(sim.model.mesh_facenum, before)
    assert drawn["lighter"][0] < 0.5 * drawn["light"][0]
    assert 0 < np.abs(drawn["lighter"][1] - drawn["light"][1]).mean() < 2


def test_light_meshes_are_the_robots_alone(sim_of: SimOf) -> None:
    sim = sim_of("libero_object", 0)
    faces = sim.model.mesh_facenum.copy()
    robot = robot_meshes(sim.model)
    assert 0.5 < faces[robot].sum() / faces.sum() < 1
    published, light = (ScenePictures(sim.model, sim.data, SIZE, SIZE, meshes=m) for m in ("published", "light"))
    a, b = published.render("agentview").astype(float), light.render("agentview").astype(float)
    assert 0 < np.abs(a - b).mean() < 2
    np.testing.assert_array_equal(sim.model.mesh_facenum, faces)
    published.close()
    light.close()
