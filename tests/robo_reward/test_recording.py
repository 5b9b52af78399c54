"""Pushes that an expert makes good, pictures now and then, places of things: recorded, written, and read again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from robo_reward.contract_tests import moving_square
from robo_reward.data.dataset_source import open_dataset
from robo_reward.data.datasets import read_dataset, write_dataset
from robo_reward.data.demonstrations import of_each_task
from robo_reward.data.recording import LONGEST, SHORTEST, Film, Pusher, Recording
from robo_reward.errors import UserError
from robo_reward.fitting.episodes import Episode, check_lengths, check_successes
from robo_reward.trace import Trace


class Arm:
    """Only what a pusher asks of a world."""

    name = "arm"
    action_space = spaces.Box(-1, 1, (3,), np.float32)
    push_scale = (0.4, 0.04, 0.0)


def executed(pushes: float, steps: int = 4000) -> np.ndarray:
    pusher: Any = Pusher(Arm(), pushes, np.random.default_rng(0))  # type: ignore[arg-type]
    return np.concatenate([pusher(np.zeros((1, 3), np.float32)) for _ in range(steps)])


def test_nobody_pushes_unless_asked() -> None:
    assert not executed(0.0, 10).any()


def test_pushes_have_the_worlds_own_scale_and_leave_the_fingers() -> None:
    done = executed(0.3)
    assert not done[:, 2].any()
    assert np.abs(done).max() <= 1.0
    assert done[:, 0].std() == pytest.approx(10 * done[:, 1].std(), rel=0.1)
    assert 0.2 < done[:, 0].std() < 0.5


def test_a_push_lasts_for_some_decisions() -> None:
    """With the trembling of a hundredth, a push shows as a plateau far from zero."""
    done = executed(0.02, 20000)[:, 0]
    pushed = np.abs(done) > 0.35
    edges = np.flatnonzero(np.diff(pushed.astype(int)))
    lengths = np.diff(edges)[::2] if not pushed[0] else np.diff(edges)[1::2]
    assert lengths.max() <= 3 * LONGEST  # a push may follow upon another
    assert lengths.mean() > SHORTEST


def test_pictures_are_taken_now_and_then() -> None:
    film = Film(["top"], 3)
    for step in range(8):
        film.look(step, {"top": np.full((1, 4, 4, 3), step, np.uint8)})
    frames, steps = film.developed()
    assert steps.tolist() == [0, 3, 6]
    assert frames["top"][:, 0, 0, 0].tolist() == [0, 3, 6]
    film.look(8, {"top": np.full((1, 4, 4, 3), 8, np.uint8)}, now=True)
    assert film.developed()[1].tolist() == [0, 3, 6, 8]


def late(seed: int, every: int = 3) -> Trace:
    """Succeeds in its last state, which no picture shows."""
    trace = moving_square(seed, 14, ("front",), size=16)
    return replace(trace, success=np.arange(15) == 14, **_now_and_then(trace, every))


def test_a_success_that_nobody_saw_is_refused_by_name(tmp_path: Path) -> None:
    write_dataset([late(1), late(2)], tmp_path / "held", images=True, hold=True)
    read = read_dataset(tmp_path / "held")
    assert (read[1].success_step, read[1].frame_steps.tolist()) == (13, [0, 3, 6, 9, 12])
    told = "succeeds at step 13, and its last picture was taken at step 12.*recording.every=1"
    with pytest.raises(UserError, match=f"episode 1 of DATA {told}"):
        check_successes([Episode(read[1], "DATA", 1)])
    with pytest.raises(UserError, match=f"demonstration 0 {told}"):
        check_lengths(read, 1)
    states = read_dataset(tmp_path / "held", views=())[0]
    assert states.frame_steps.tolist() == list(range(14)), "states are of their step"
    check_lengths([states], 3)


def test_thinning_keeps_the_last_picture() -> None:
    assert late(1).every(5).frame_steps.tolist() == [0, 12]


@pytest.mark.parametrize(
    ("recording", "told"),
    [
        (Recording(pushes=1.5), r"recording\.pushes=1\.5 must be within 0 and 1"),
        (Recording(every=0), r"recording\.every=0 must be 1 or more"),
        (Recording(places=True), "'arm' does not tell where things are"),
    ],
)
def test_settings_out_of_range(recording: Recording, told: str) -> None:
    with pytest.raises(UserError, match=told):
        recording.check(Arm())  # type: ignore[arg-type]


def placed(seed: int, steps: int = 9, every: int = 4) -> Trace:
    trace = moving_square(seed, steps, ("front",), size=16)
    places = np.arange(2.0 * (steps + 1), dtype=np.float32).reshape(steps + 1, 2)
    points = {"front_image": np.linspace(0, 2, 4 * (steps + 1), dtype=np.float32).reshape(steps + 1, 2, 2)}
    return replace(trace, places=places, points=points, **_now_and_then(trace, every))


def _now_and_then(trace: Trace, every: int) -> dict[str, Any]:
    kept = trace.frame_steps % every == 0
    return {"frames": {v: f[kept] for v, f in trace.frames.items()}, "frame_steps": trace.frame_steps[kept]}


def test_held_pictures_keep_every_action_and_are_read_where_they_were_taken(tmp_path: Path) -> None:
    before = placed(1)
    write_dataset([before, placed(2)], tmp_path / "held", images=True, hold=True)
    assert open_dataset(tmp_path / "held").fps == before.fps
    after = read_dataset(tmp_path / "held")[0]
    assert before.frame_steps.tolist() == [0, 4, 8]
    assert after.frame_steps.tolist() == [0, 4, 8]
    np.testing.assert_array_equal(after.frames["front"], before.frames["front"])
    np.testing.assert_array_equal(after.action, before.action[:-1])
    assert before.places is not None
    np.testing.assert_array_equal(after.places, before.places[:-1])
    assert before.points is not None
    assert after.points is not None
    np.testing.assert_array_equal(after.points["front_image"], before.points["front_image"][:-1])


def test_pictures_cannot_be_held_before_the_first(tmp_path: Path) -> None:
    late = placed(1)
    late = replace(late, frames={v: f[1:] for v, f in late.frames.items()}, frame_steps=late.frame_steps[1:])
    with pytest.raises(UserError, match="held only from an episode's first step"):
        write_dataset([late], tmp_path / "held", images=True, hold=True)


def test_places_are_cut_with_the_episode() -> None:
    cut = placed(1).cut(3)
    assert cut.places is not None
    assert cut.places[:, 0].tolist() == [0, 2, 4, 6]
    assert cut.points is not None
    assert cut.points["front_image"].shape == (4, 2, 2)


def test_so_many_of_each_task() -> None:
    assert of_each_task(["a", "b", "a", "a", "b"], 2) == [0, 1, 2, 4]
    assert of_each_task(["a", "b", "a"], None) == [0, 1, 2]
