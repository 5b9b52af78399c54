"""Rearranged scenes: still pictures with places, the same for the same seed, refused where they cannot be."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from robo_reward.data.datasets import read_dataset, write_dataset
from robo_reward.data.scenes import SCENES_PER_START, collect_scenes, recordable
from robo_reward.errors import UserError


class Shelf:
    """Two tasks; a scene's only place is the number that its seed draws, and the picture shows it."""

    num_worlds, name, fps, view_names, horizon = 1, "shelf", 20.0, ("top", "side"), 9
    tasks = ("left", "right")
    action_space = SimpleNamespace(shape=(3,))

    def __init__(self) -> None:
        self.resets, self._number, self._next = 0, 0, 0

    def begin_at(self, number: int) -> None:
        self._next = number

    def reset(self, seed: int) -> Any:
        self.resets += 1
        self._number, self._next = self._next, 0
        return self.rearrange(seed)

    def rearrange(self, seed: int) -> Any:
        self._place = float(np.random.default_rng(seed).integers(1, 250))
        picture = np.full((1, 4, 4, 3), self._place, np.uint8)
        state = np.full((1, 2), self._number, np.float32)
        return SimpleNamespace(
            task=(self.tasks[self._number % 2],), state=state, views={"top": picture, "side": picture}
        )

    def places(self) -> np.ndarray:
        return np.array([[self._place, 0.0]], np.float32)


def collect(count: int, seed: int = 0, views: tuple[str, ...] | None = None, world: Any = None) -> Any:
    shelf: Any = world or Shelf()
    return collect_scenes(shelf, count, seed, views)


def test_each_task_has_its_scenes_and_pictures_belong_to_their_places() -> None:
    world = Shelf()
    traces = collect(SCENES_PER_START + 5, world=world)
    assert [trace.task for trace in traces] == ["left", "right"]
    assert world.resets == 4
    for trace in traces:
        assert len(trace) == SCENES_PER_START + 5
        np.testing.assert_array_equal(trace.frames["top"][:, 0, 0, 0], trace.places[:-1, 0])
        assert len(set(trace.places[:, 0])) > SCENES_PER_START // 2
        assert not trace.action.any()
        assert trace.success is None


def test_the_same_seed_gives_the_same_scenes() -> None:
    one, again, other = collect(6), collect(6), collect(6, seed=1)
    np.testing.assert_array_equal(one[0].places, again[0].places)
    assert (one[0].places != other[0].places).any()
    assert (one[0].places != one[1].places).any()


def test_only_the_named_views_are_kept() -> None:
    assert list(collect(2, views=("side",))[0].frames) == ["side"]
    with pytest.raises(UserError, match="front"):
        collect(2, views=("front",))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="scenes=0"):
        collect(0)
    fixed = SimpleNamespace(name="fixed", num_worlds=1, view_names=())
    with pytest.raises(UserError, match="cannot rearrange"):
        collect(3, world=fixed)
    two = Shelf()
    two.num_worlds = 2  # type: ignore[misc]
    with pytest.raises(UserError, match=r"not in env\.num_worlds=2: set env\.num_worlds=1"):
        collect(3, world=two)


class Answering(Shelf):
    """Each scene of the left task has a meaning for two further instructions, whose places follow from its own."""

    def other_places(self) -> list[tuple[str, np.ndarray]]:
        told = [("above", self._place + 1), ("below", self._place + 2)] if self._number % 2 == 0 else []
        return [(words, np.array([place, 0.0], np.float32)) for words, place in told]


def test_a_scene_counts_for_the_other_instructions_that_it_answers() -> None:
    traces = {trace.task: trace for trace in collect(5, world=Answering())}
    assert set(traces) == {"left", "right", "above", "below"}
    own = traces["left"].places[:, 0]
    np.testing.assert_array_equal(traces["above"].places[:, 0], own + 1)
    np.testing.assert_array_equal(traces["below"].places[:, 0], own + 2)
    np.testing.assert_array_equal(traces["below"].frames["top"], traces["left"].frames["top"])
    np.testing.assert_array_equal(traces["left"].places, collect(5)[0].places)


class Pointing(Answering):
    """Its pictures show a place at a thousandth of its number from the left."""

    def point_out(self, places: np.ndarray) -> dict[str, np.ndarray]:
        return {"top": places.reshape(len(places), -1, 2) / 1000}


def test_a_world_that_can_points_out_every_instructions_places() -> None:
    for trace in collect(5, world=Pointing()):
        assert list(trace.points) == ["top"]
        np.testing.assert_allclose(trace.points["top"][:, 0, 0], trace.places[:, 0] / 1000)
    assert all(trace.points is None for trace in collect(2, world=Answering()))


def test_no_more_of_them_than_asked_for() -> None:
    shelf: Any = Answering()
    traces = {trace.task: len(trace) for trace in collect_scenes(shelf, 8, 0, also=1)}
    assert traces["above"] + traces["below"] == traces["left"] == 8
    assert min(traces["above"], traces["below"]) > 0
    assert {trace.task for trace in collect_scenes(shelf, 3, 0, also=0)} == {"left", "right"}


def test_a_dataset_keeps_every_scene_even_a_single_one(tmp_path: Path) -> None:
    for count in (1, 4):
        drawn = collect(count, world=Pointing())
        write_dataset([recordable(trace) for trace in drawn], tmp_path / str(count), images=True)
        for before, after in zip(drawn, read_dataset(tmp_path / str(count)), strict=True):
            assert len(after) == len(before) == count
            assert after.places is not None
            np.testing.assert_array_equal(after.places, before.places)
            np.testing.assert_allclose(after.points["top"], before.points["top"])  # type: ignore[index]
            np.testing.assert_array_equal(after.state, before.state)
            for view, shown in before.frames.items():
                np.testing.assert_array_equal(after.frames[view][:count], shown)
