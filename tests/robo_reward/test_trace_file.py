"""A trace on disk comes back exact to the bit."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from robo_reward.data.trace_file import read_trace, write_trace
from robo_reward.errors import UserError
from robo_reward.trace import Trace


def noisy(success: bool) -> Trace:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (5, 4, 6, 3)).astype(np.uint8)
    return Trace(
        task="öffne die Schublade",
        state=rng.normal(size=(9, 3)).astype(np.float32),
        action=rng.normal(size=(8, 2)).astype(np.float32),
        frames={"front": frames, "top": frames[:, ::-1]},
        frame_steps=np.array([0, 2, 4, 6, 8]),
        fps=40.0,
        source="policy",
        terminated=True,
        truncated=False,
        success=np.arange(9) > 5 if success else None,
        env_reward=None,
        meta={"outcome": 3.0},
        points={"front": rng.random((9, 2, 2), np.float32)} if success else None,
    )


@pytest.mark.parametrize("success", [True, False])
def test_round_trip(success: bool, tmp_path: Path) -> None:
    old = noisy(success)
    write_trace(tmp_path / "rollouts" / "000001.safetensors", old)
    new = read_trace(tmp_path / "rollouts" / "000001.safetensors")
    for field in fields(Trace):
        if field.name in ("estimate", "reward", "frames", "points"):
            continue
        before, after = getattr(old, field.name), getattr(new, field.name)
        if isinstance(before, np.ndarray):
            assert after.dtype == before.dtype, field.name
            np.testing.assert_array_equal(after, before)
        else:
            assert after == before, field.name
    assert list(new.frames) == ["front", "top"]
    for view, frames in old.frames.items():
        np.testing.assert_array_equal(new.frames[view], frames)
    assert (new.points is None) == (old.points is None)
    for view, points in (old.points or {}).items():
        np.testing.assert_array_equal((new.points or {})[view], points)


def test_a_trace_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="000007"):
        read_trace(tmp_path / "000007.safetensors")
