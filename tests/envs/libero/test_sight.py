"""Where a camera's picture shows a place: by hand, and where LIBERO's pictures draw the thing."""

from __future__ import annotations

import numpy as np
import pytest
from omegaconf import OmegaConf

from robo_reward.cli.help_pages import configs_folder
from robo_reward.envs.libero.sight import BEHIND, pixels
from robo_reward.envs.libero.world import LiberoWorld, make_world

SCENE = """<mujoco><worldbody>
  <camera name="down" pos="1 2 3" fovy="90"/>
  <camera name="ahead" pos="0 0 1" xyaxes="0 -1 0 0 0 1" fovy="60"/>
</worldbody></mujoco>"""


def test_a_pinhole_by_hand() -> None:
    import mujoco

    model = mujoco.MjModel.from_xml_string(SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    # from 3 m above, 45 degrees to each side: on the floor the edges are 3 m off, 6 m where it is twice as wide as high
    places = np.array([[1, 2, 0], [4, 2, 0], [1, 5, 0], [-0.5, 0.5, 0], [1, 2, 4]], np.float32)
    shares = [[0.5, 0.5], [1, 0.5], [0.5, 0], [0.25, 0.75], [BEHIND, BEHIND]]
    np.testing.assert_allclose(pixels(model, data, "down", places, 1.0), shares, atol=1e-6)
    wide = pixels(model, data, "down", places[:2], 2.0)
    np.testing.assert_allclose(wide, [[0.5, 0.5], [0.75, 0.5]], atol=1e-6)
    # it looks along x, its right is -y; half the height at 2 m is 2 tan 30
    up = 2 * np.tan(np.radians(30))
    seen = pixels(model, data, "ahead", np.array([[2, -0.5 * up, 1 + 0.5 * up]], np.float32), 1.0)
    np.testing.assert_allclose(seen, [[0.75, 0.25]], atol=1e-6)


@pytest.fixture(scope="module")
def world(assets: str) -> LiberoWorld:
    return make_world("libero_object", 6, height=96, width=128, views=("image", "image2", "frontview"))


@pytest.mark.parametrize("view", ["image", "frontview"])
def test_the_picture_changes_where_the_thing_was_and_is(world: LiberoWorld, view: str) -> None:
    import mujoco

    world.reset(0)
    sim = world._vec.envs[0].unwrapped.sim  # type: ignore[attr-defined]
    joint = int(sim.model.joint(sim.robosuite.objects_dict[sim.facts.target].joints[-1]).qposadr[0])
    told, shown = [], []
    for shift in (0.0, 0.07):
        world.reset(0)
        sim.data.qpos[joint + 1] += shift
        mujoco.mj_forward(sim.model, sim.data)
        sim.refresh()
        sim.seen.take_places()
        sim.seen.take_joints()
        point = world.point_out(world.places()[:, :3])[view]
        assert point.shape == (1, 1, 2)
        told.append(point[0, 0] * [128, 96])
        shown.append(world._vec.envs[0].unwrapped.render_view(view).astype(int))  # type: ignore[attr-defined]
    changed = np.argwhere(np.abs(shown[1] - shown[0]).sum(-1) > 40)[:, ::-1] + 0.5
    assert len(changed) > 10
    for point in told:
        assert np.abs(changed - point).max(1).min() < 3, "some of the change is at the thing, in pixels"
    assert np.linalg.norm(changed.mean(0) - np.mean(told, 0)) < 5


def test_cameras_that_move_tell_nothing(world: LiberoWorld) -> None:
    world.reset(0)
    assert list(world.point_out(world.places())) == ["image", "frontview"]


@pytest.mark.parametrize(
    ("suite", "task"), [("libero_object", 0), ("libero_spatial", 8), ("libero_spatial", 9), ("libero_10", 4)]
)
def test_the_crop_of_a_suite_shows_target_and_destination(assets: str, suite: str, task: int) -> None:
    crops = OmegaConf.load(configs_folder() / "crops" / "libero.yaml")
    top, bottom, left, right = OmegaConf.select(crops, f"{suite}.image")
    world = make_world(suite, task, target_shift=0.06, joint_noise=0.02)
    for seed in range(3):
        world.reset(seed)
        points = world.point_out(world.places())["image"].reshape(-1, 2)
        assert ((points >= [left, top]) & (points <= [right, bottom])).all(), points
    world.close()
