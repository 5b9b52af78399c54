"""Negatives that are made of demonstrations keep each frame's own worth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_reward.reward_models.negatives import demonstrated, rewound, stopped_early
from robo_reward.trace import Trace


def trace(steps: int = 12, stride: int = 3) -> Trace:
    kept = np.unique([*range(0, steps + 1, stride), steps])
    state, action = np.zeros((steps + 1, 1), np.float32), np.zeros((steps, 1), np.float32)
    return Trace("t", state, action, {}, kept, 10.0, "demonstration")


def test_progress_is_the_share_of_time() -> None:
    labels = demonstrated(trace())
    assert labels.index.tolist() == [0, 1, 2, 3, 4]
    assert labels.progress.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


@given(st.integers(2, 40), st.integers(1, 6), st.integers(0, 999))
def test_rewound_goes_forward_and_back_and_labels_stay_with_their_frames(steps: int, stride: int, seed: int) -> None:
    source = demonstrated(trace(steps, stride))
    made = rewound(source.trace, np.random.default_rng(seed))
    assert (made.progress == source.progress[made.index]).all()
    turn = int(made.index.argmax())
    assert (np.diff(made.index[: turn + 1]) == 1).all()
    assert (np.diff(made.index[turn:]) == -1).all()
    assert made.index[0] == 0
    assert len(made.index) > turn + 1, "it always goes back by a frame at least"


@given(st.integers(2, 40), st.integers(1, 6), st.integers(0, 999))
def test_stopped_early_freezes_before_the_end(steps: int, stride: int, seed: int) -> None:
    source = demonstrated(trace(steps, stride))
    made = stopped_early(source.trace, np.random.default_rng(seed))
    assert len(made.index) == len(source.index)
    assert (made.progress == source.progress[made.index]).all()
    assert made.progress[-1] < 1
    stop = int(made.index[-1])
    assert made.index.tolist() == [min(k, stop) for k in range(len(source.index))]


@pytest.mark.parametrize("make", [rewound, stopped_early])
def test_the_same_generator_gives_the_same_negative(make: object) -> None:
    assert callable(make)
    one, two = (make(trace(), np.random.default_rng(4)) for _ in range(2))
    assert one.index.tolist() == two.index.tolist()
