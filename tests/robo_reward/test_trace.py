"""Episodes in memory: cut, thinned, and never inconsistent."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_reward.trace import Trace


def trace(steps: int = 10, every: int = 1, success: int | None = 6) -> Trace:
    kept = np.unique([*range(0, steps + 1, every), steps])
    frames = np.arange(len(kept), dtype=np.uint8)[:, None, None, None].repeat(3, 3)
    return Trace(
        task="t",
        state=np.arange(steps + 1, dtype=np.float32)[:, None],
        action=np.arange(steps, dtype=np.float32)[:, None],
        frames={"front": frames},
        frame_steps=kept,
        fps=10.0,
        source="demonstration",
        success=None if success is None else np.arange(steps + 1) >= success,
        env_reward=np.ones(steps, np.float32),
        reward=np.ones(steps, np.float32),
    )


def test_success_step() -> None:
    assert trace().success_step == 6
    assert trace(success=None).success_step is None
    assert trace(success=99).success_step is None
    assert trace(success=0).success_step == 0


def test_cut_keeps_what_was_before_and_forgets_prices() -> None:
    short = trace(every=3).cut(7)
    assert len(short) == 7
    assert short.state[:, 0].tolist() == list(range(8))
    assert short.frame_steps.tolist() == [0, 3, 6]
    assert short.frames["front"][:, 0, 0, 0].tolist() == [0, 1, 2]
    assert short.success is not None
    assert short.success.tolist() == [False] * 6 + [True] * 2
    assert short.env_reward is not None
    assert len(short.env_reward) == 7
    assert short.reward is None


@given(st.integers(1, 40), st.integers(1, 12))
def test_every_keeps_multiples_and_the_end(steps: int, stride: int) -> None:
    thin = trace(steps).every(stride)
    assert thin.frame_steps.tolist() == sorted({*range(0, steps + 1, stride), steps})
    assert thin.frames["front"][:, 0, 0, 0].tolist() == thin.frame_steps.tolist()
    assert len(thin) == steps, "only frames are dropped"


@given(st.integers(1, 30), st.data())
def test_cutting_twice_is_cutting_once(steps: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, steps))
    second = data.draw(st.integers(0, first))
    once, twice = trace(steps).cut(second), trace(steps).cut(first).cut(second)
    assert once.frame_steps.tolist() == twice.frame_steps.tolist()
    assert once.state.tolist() == twice.state.tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": np.zeros((10, 1), np.float32)}, "needs 11 states"),
        ({"frame_steps": np.arange(5)}, "one frame per entry"),
        ({"frame_steps": np.zeros(11, np.int64)}, "ascend"),
    ],
)
def test_inconsistent_traces_are_refused(change: dict[str, Any], message: str) -> None:
    from dataclasses import replace

    with pytest.raises(ValueError, match=message):
        replace(trace(), **change)
