"""Pictures: profiles, extra cameras, clear errors without GL, a quiet exit."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from robo_reward.envs.rendering import CameraRenderer, ExtraCamera, camera_names, choose_renderer, extra_cameras
from robo_reward.errors import UserError

SCENE = """
<mujoco>
  <visual><quality offsamples="4"/></visual>
  <worldbody>
    <light pos="1 1 3" dir="-0.3 -0.3 -1" castshadow="true"/>
    <camera name="top" pos="0 0 3"/>
    <geom type="plane" size="2 2 .1" rgba=".5 .5 .5 1"/>
    <body name="ball" pos="0 0 .5"><freejoint/><geom size=".3" rgba="1 0 0 1"/></body>
  </worldbody>
</mujoco>
"""


def scene(xml: str = SCENE) -> tuple[Any, Any]:
    choose_renderer()
    import mujoco

    model = mujoco.MjModel.from_xml_string(xml)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def test_profiles_differ_in_quality_not_in_shape() -> None:
    model, data = scene()
    fast, pretty = (CameraRenderer(model, data, 48, 64, p) for p in ("fast", "pretty"))
    a, b = fast.render("top"), pretty.render("top")
    assert a.shape == b.shape == (48, 64, 3)
    assert a.dtype == np.uint8
    assert (a != b).any()
    np.testing.assert_array_equal(a, fast.render("top"))
    assert model.vis.quality.offsamples == 4
    assert (fast.frames, pretty.frames) == (2, 1)
    assert fast.seconds > 0
    fast.close()
    np.testing.assert_array_equal(a, fast.render("top"))
    fast.close()
    pretty.close()


def test_an_extra_camera_sees_what_it_looks_at_the_right_way_up() -> None:
    model, data = scene()
    cameras = {"low": ExtraCamera((2.0, 0.0, 0.5), (0.0, 0.0, 0.5), 45), "away": ExtraCamera((2, 0, 1), (4, 0, 1))}
    renderer = CameraRenderer(model, data, 64, 64, "fast", cameras)
    low = renderer.render("low").astype(int)
    red = (low[..., 0] > 60) & (low[..., 1] < 40)
    rows, columns = np.nonzero(red)
    assert abs(rows.mean() - 31.5) < 1
    assert abs(columns.mean() - 31.5) < 1
    # A sphere of radius .3 seen from 2 m under 45 degrees: half-height tan(asin(.15)) / tan(22.5 deg) of the picture.
    expected = 64 * np.tan(np.arcsin(0.15)) / np.tan(np.radians(22.5))
    assert abs(np.ptp(rows) + 1 - expected) <= 2
    assert low[-1].mean() > low[0].mean()  # the floor is below
    away = renderer.render("away").astype(int)
    assert not ((away[..., 0] > 60) & (away[..., 1] < 40)).any()
    renderer.close()


def test_a_tracking_camera_follows_its_body() -> None:
    import mujoco

    model, data = scene()
    renderer = CameraRenderer(model, data, 32, 32, "fast", {"chase": ExtraCamera((1.5, 0, 0.4), track="ball")})
    middles = []
    for place in ((0, 0), (0.7, -0.4)):
        data.qpos[:2] = place
        mujoco.mj_forward(model, data)
        frame = renderer.render("chase").astype(int)
        middles.append(np.argwhere((frame[..., 0] > 60) & (frame[..., 1] < 40)).mean(0))
    np.testing.assert_allclose(*middles, atol=1)
    renderer.close()


def test_the_model_keeps_its_names_and_its_field_of_view() -> None:
    model, data = scene()
    before = model.vis.global_.fovy
    renderer = CameraRenderer(model, data, 16, 16, "fast", {"x": ExtraCamera((1, 1, 1), fovy=90)})
    renderer.render("x")
    renderer.close()
    assert model.vis.global_.fovy == before
    assert camera_names(model) == ("top",)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "needs pos"),
        ({"pos": [1, 2]}, "3 numbers"),
        ({"pos": [0, 0, 0]}, "cannot look"),
        ({"pos": [0, 0, 1], "fov": 30}, "did you mean 'fovy'"),
        ({"pos": ["a", "b", "c"]}, r"camera 'front': pos=\['a', 'b', 'c'\] must be 3 numbers"),
        ({"pos": 1}, "camera 'front': pos=1 must be 3 numbers"),
        ({"pos": [0, 0, 1], "target": "ball"}, "camera 'front': target=ball must be 3 numbers"),
        ({"pos": [0, 0, 1], "fovy": "wide"}, "camera 'front': fovy=wide must be a number"),
        ({"pos": [0, 0, 1], "fovy": 180}, "camera 'front': .* between 0 and 180"),
        ({"pos": [0, 0, 1], "track": 3}, "camera 'front': track=3 must be the name of a body"),
        ([1, 0, 1], r"camera 'front' is \[1, 0, 1\].*env.cameras=\{front: \{pos:"),
    ],
)
def test_a_wrong_camera_is_explained(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ExtraCamera.from_settings("front", settings)


def test_cameras_are_named_with_settings() -> None:
    assert extra_cameras(None) == {}
    assert extra_cameras({"x": {"pos": [1, 0, 1]}}) == {"x": ExtraCamera((1.0, 0.0, 1.0))}
    with pytest.raises(UserError, match=r"env\.cameras=\['side'\] must give each camera's settings"):
        extra_cameras(["side"])


def test_a_wrong_size_or_profile_is_explained() -> None:
    model, data = scene()
    with pytest.raises(UserError, match="8 to 4096"):
        CameraRenderer(model, data, 4, 64)
    with pytest.raises(UserError, match="did you mean 'pretty'"):
        CameraRenderer(model, data, 64, 64, "prety")  # type: ignore[arg-type]


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k != "MUJOCO_GL"}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=kept | environment, timeout=120
    )


RENDER = f"""
import numpy as np
from robo_reward.envs.rendering import CameraRenderer, choose_renderer
choose_renderer()
import mujoco, os
model = mujoco.MjModel.from_xml_string({SCENE!r}); data = mujoco.MjData(model); mujoco.mj_forward(model, data)
renderers = [CameraRenderer(model, data, 32, 32, p) for p in ("fast", "pretty", "fast")]
"""


@pytest.mark.skipif(sys.platform != "linux", reason="EGL is our choice on Linux only")
def test_egl_is_chosen_and_the_interpreter_exits_quietly() -> None:
    done = python(RENDER + "print(os.environ['MUJOCO_GL'], [r.render('top').shape for r in renderers][0])")
    assert done.stdout == "egl (32, 32, 3)\n"
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="EGL is our choice on Linux only")
def test_the_interpreter_exits_quietly_after_pictures_in_another_thread() -> None:
    draw = "lambda: [r.render('top') for r in renderers]"
    done = python(RENDER + f"import threading\nt = threading.Thread(target={draw}); t.start(); t.join(); print('done')")
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)


def test_without_gl_physics_works_and_a_picture_is_a_clear_error() -> None:
    done = python(
        RENDER
        + """
from robo_reward.errors import UserError
mujoco.mj_step(model, data)
try:
    renderers[0].render("top")
except UserError as error:
    print(error)
""",
        MUJOCO_GL="disable",
    )
    assert "libegl1" in done.stdout
    assert "MUJOCO_GL=osmesa" in done.stdout
    assert done.stderr == ""


def test_an_explicit_choice_is_kept_and_a_late_one_warned_about() -> None:
    code = "import warnings, os, mujoco\nfrom robo_reward.envs.rendering import choose_renderer\n"
    code += "choose_renderer(); print(os.environ.get('MUJOCO_GL'))"
    late = python(code)
    assert "mujoco was imported before" in late.stderr
    assert late.stdout == "None\n"
    explicit = python(code, MUJOCO_GL="osmesa" if sys.platform == "win32" else "disable")
    assert explicit.stderr == ""
    assert explicit.stdout == "disable\n"
