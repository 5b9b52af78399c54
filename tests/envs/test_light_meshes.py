"""Light meshes change what a small picture costs, hardly what it shows, and nothing of the model."""

import mujoco
import numpy as np
import pytest

from robo_reward.envs.light_meshes import light_meshes

SPHERE = """
<mujoco><asset><mesh name="ball" builtin="sphere" params="4" scale=".1 .1 .1"/></asset>
<worldbody><light pos="0 0 2"/><geom type="mesh" mesh="ball"/>
<camera name="c" pos="0 -1 0" xyaxes="1 0 0 0 0 1"/></worldbody></mujoco>
"""


@pytest.fixture
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(SPHERE)


def test_faces_are_fewer_inside_and_as_before_outside(model: mujoco.MjModel) -> None:
    before = {
        n: getattr(model, n).copy() for n in ("mesh_face", "mesh_facenum", "mesh_facenormal", "mesh_facetexcoord")
    }
    with light_meshes(model, 0.03):
        assert 20 < model.mesh_facenum[0] < before["mesh_facenum"][0] / 2
        used = model.mesh_face[: model.mesh_facenum[0]]
        assert used.min() >= 0
        assert used.max() < model.mesh_vertnum[0]
        assert all(len(set(face)) == 3 for face in used)
    for name, value in before.items():
        assert np.array_equal(getattr(model, name), value)


def test_zero_leaves_the_model_alone(model: mujoco.MjModel) -> None:
    count = int(model.mesh_facenum[0])
    with light_meshes(model, 0.0):
        assert model.mesh_facenum[0] == count


def test_the_model_is_restored_after_an_error(model: mujoco.MjModel) -> None:
    count = int(model.mesh_facenum[0])
    with pytest.raises(RuntimeError), light_meshes(model, 0.03):
        raise RuntimeError
    assert model.mesh_facenum[0] == count


def test_the_picture_hardly_changes(model: mujoco.MjModel) -> None:
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)

    def picture(cell: float) -> np.ndarray:
        with light_meshes(model, cell):
            renderer = mujoco.Renderer(model, 64, 64)
        renderer.update_scene(data, camera="c")
        frame = renderer.render()
        renderer.close()
        return frame

    whole, light = picture(0.0), picture(0.01)
    assert whole.std() > 5
    assert np.abs(whole.astype(int) - light).mean() < 2
