"""Pictures that no policy may act on: late, frozen, dark, of another size, from the other camera."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from robo_reward.errors import UserError
from robo_reward.real_robot.deploy.camera_watch import CameraPlan, CameraWatch, Look, differences
from robo_reward.real_robot.deploy.eyes import Eyes, resized
from robo_reward.real_robot.deploy.interface import PolicyInterface

REST = np.zeros(2)
SIZES = {"front": (24, 32), "wrist": (24, 32)}
FPS = {"front": 30.0, "wrist": 30.0}


def scene(seed: int) -> np.ndarray:
    """(24, 32, 3): four coloured quarters."""
    colours = np.random.default_rng(seed).integers(30, 255, (2, 2, 3))
    return np.kron(colours, np.ones((12, 16, 1))).astype(np.uint8)


FRONT, WRIST = scene(1), scene(2)


def noisy(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(picture + rng.integers(-4, 5, picture.shape), 0, 255).astype(np.uint8)


def watch(**plan: Any) -> CameraWatch:
    return CameraWatch(CameraPlan(**plan), SIZES, FPS, {"front": FRONT, "wrist": WRIST})


def test_pictures_that_are_fresh_and_change_are_no_trouble() -> None:
    rng, eye = np.random.default_rng(0), watch()
    for k in range(60):
        at = k / 30
        looks = {"front": Look(noisy(FRONT, rng), at - 0.05), "wrist": Look(noisy(WRIST, rng), at - 0.02)}
        assert eye.judge(at, looks, REST) is None


def test_a_late_picture_is_told_by_its_camera_period() -> None:
    eye = watch()
    assert eye.judge(1.0, {"front": Look(FRONT, 0.93)}, REST) is None
    trouble = eye.judge(1.0, {"front": Look(FRONT, 0.9)}, REST)
    assert trouble is not None
    assert "0.10 s old, more than 0.08 s" in trouble.reason
    assert not trouble.lasting, "it may mend itself"


def test_a_picture_that_never_changes_is_frozen_even_if_it_comes_in_time() -> None:
    eye = watch(frozen_time=0.3)
    reasons = [eye.judge(k / 30, {"front": Look(FRONT.copy(), k / 30)}, REST) for k in range(12)]
    assert reasons[9] is None
    assert reasons[10] is not None
    assert "frozen" in reasons[10].reason


def test_a_rendered_picture_of_an_arm_at_rest_is_not_frozen_until_the_arm_moves() -> None:
    eye = watch(frozen_time=0.3, frozen_move=8.0)
    for k in range(60):
        assert eye.judge(k / 30, {"front": Look(FRONT, k / 30)}, REST) is None
    assert eye.judge(2.0, {"front": Look(FRONT, 2.0)}, REST + 7.9) is None
    assert eye.judge(2.1, {"front": Look(FRONT, 2.1)}, REST + 8.0) is not None


def test_dark_and_wrong_size() -> None:
    eye = watch()
    dark = eye.judge(0.0, {"front": Look(np.full_like(FRONT, 3), 0.0)}, REST)
    assert dark is not None
    assert dark.reason == "camera 'front' is dark"
    small = eye.judge(0.0, {"front": Look(FRONT[::2, ::2], 0.0)}, REST)
    assert small is not None
    assert "(12, 16), not (24, 32)" in small.reason
    assert small.lasting


def test_swapped_cameras_are_told_after_some_looks_and_other_light_is_not_a_swap() -> None:
    rng, eye = np.random.default_rng(0), watch(swap_looks=3)
    told = []
    for k in range(4):
        looks = {"front": Look(noisy(WRIST, rng), k / 30), "wrist": Look(noisy(FRONT, rng), k / 30)}
        told.append(eye.judge(k / 30, looks, REST))
    assert told[:2] == [None, None]
    assert told[2] is not None
    assert told[2].lasting
    assert "'front' shows 'wrist'" in told[2].reason
    eye = watch(swap_looks=1)
    darker = {"front": Look((FRONT * 0.6).astype(np.uint8), 0.0), "wrist": Look((WRIST * 0.6).astype(np.uint8), 0.0)}
    assert eye.judge(0.0, darker, REST) is None


def test_difference_of_pictures_by_hand() -> None:
    black, grey = np.zeros((9, 11, 3), np.uint8), np.full((9, 11, 3), 10, np.uint8)
    np.testing.assert_allclose(differences([black, grey], [black, grey]), [[0, 10], [10, 0]])


def interface(**more: Any) -> PolicyInterface:
    row = (0.0, 0.0)
    given = {"joints": ("a.pos", "b.pos"), "control": "goals", "low": row, "high": row, "speed": (1.0, 1.0)}
    return PolicyInterface(
        **{**given, "fps": 30.0, "views": ("front",), "height": 24, "width": 32, "task": "reach", **more}
    )


def camera(height: int = 48, width: int = 64, fps: int = 30, picture: Any = None) -> Any:
    def read_latest(max_age_ms: int) -> Any:
        if picture is None:
            raise RuntimeError("the reader's thread is dead")
        return picture

    import time

    return SimpleNamespace(
        height=height, width=width, fps=fps, read_latest=read_latest, latest_timestamp=time.monotonic()
    )


@pytest.mark.parametrize(
    ("cameras", "said"),
    [
        ({"top": camera()}, r"trained with the cameras \['front'\]"),
        ({"front": camera(fps=15)}, "15 pictures a second"),
        ({"front": camera(height=48, width=48)}, "must be the same shape"),
        ({"front": camera(height=12, width=16)}, "at least as large"),
        ({"front": camera(fps=0)}, "needs width, height and fps"),
    ],
)
def test_cameras_that_do_not_fit_are_refused(cameras: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Eyes(cameras, interface(), CameraPlan())


def test_the_policy_sees_the_size_that_it_learned_and_a_dead_camera_is_trouble() -> None:
    large = np.repeat(np.repeat(FRONT, 2, 0), 2, 1)
    pictures, trouble = Eyes({"front": camera(picture=large)}, interface(), CameraPlan()).look(REST)
    assert trouble is None
    np.testing.assert_array_equal(pictures["front"][0], FRONT)
    assert resized(FRONT, (24, 32)) is FRONT
    pictures, trouble = Eyes({"front": camera()}, interface(), CameraPlan()).look(REST)
    assert trouble is not None
    assert "thread is dead" in trouble.reason
    assert not pictures
