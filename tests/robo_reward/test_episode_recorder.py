"""Episodes of many worlds, recorded together, are those that each world would have recorded by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_reward.contracts import Observation, Transition
from robo_reward.episode_recorder import EpisodeRecorder
from robo_reward.trace import Trace
from robo_reward.views import LazyViews


class Told:
    """N worlds whose state (N, 2) is (world, time); what they show at a time is known, and so is who was looked at."""

    def __init__(self, worlds: int) -> None:
        self.worlds, self.time, self.looked = worlds, 0, list[int]()

    def shown(self) -> Observation:
        time = self.time
        state = np.stack([np.arange(self.worlds), np.full(self.worlds, time)], 1).astype(np.float32)

        def pictures(view: str) -> Any:
            self.looked.append(time)
            return (
                np.full((self.worlds, 2, 2, 3), time % 256, np.uint8)
                + np.arange(self.worlds, dtype=np.uint8)[:, None, None, None]
            )

        views = LazyViews(("front",), pictures, lambda: True)
        return Observation(views, state, tuple(f"task {i} at {time}" for i in range(self.worlds)))

    def step(self, done: Any, blind: bool) -> Transition:
        before = self.shown()
        self.time += 1
        paid = np.full(self.worlds, np.nan if blind else self.time, np.float32)
        action = np.full((self.worlds, 1), self.time, np.float32)
        return Transition(before, action, self.shown(), paid, done, np.zeros_like(done))


def expected(world: int, first: int, last: int, stride: int, blind: bool, paid: bool) -> dict[str, Any]:
    """Everything about the episode of a world between two times."""
    times = np.arange(first, last + 1)
    looks = sorted({*range(0, last - first, stride), last - first})
    return {
        "task": f"task {world} at {first}",
        "state": np.stack([np.full(len(times), world), times], 1),
        "action": times[1:, None],
        "frame_steps": looks,
        "frames": [(first + look) % 256 + world for look in looks],
        "env_reward": None if blind else times[1:],
        "reward": -times[1:] - world if paid else None,
    }


def check(trace: Trace, wanted: dict[str, Any], views: bool) -> None:
    assert (trace.task, trace.fps, trace.source, trace.terminated) == (wanted["task"], 20.0, "policy", True)
    for name in ("state", "action", "frame_steps", "env_reward", "reward"):
        found = getattr(trace, name)
        assert (found is None) == (wanted[name] is None), name
        if found is not None:
            np.testing.assert_array_equal(found, wanted[name], name)
    assert trace.state.dtype == trace.action.dtype == np.float32
    assert set(trace.frames) == ({"front"} if views else set())
    if views:
        assert [int(picture[0, 0, 0]) for picture in trace.frames["front"]] == [x % 256 for x in wanted["frames"]]


@settings(max_examples=40, deadline=None)
@given(
    ends=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=60),
    recorded=st.integers(0, 3),
    stride=st.integers(1, 4),
    views=st.booleans(),
    blind=st.booleans(),
    paid=st.booleans(),
)
def test_each_episode_is_whole(
    ends: list[list[bool]], recorded: int, stride: int, views: bool, blind: bool, paid: bool
) -> None:
    worlds, began = Told(3), [0, 0, 0]
    recorder = EpisodeRecorder(recorded, ("front",) if views else (), stride, 20.0, "policy")
    recorder.begin(worlds.shown(), np.ones(3, bool))
    for row in ends:
        done = np.array(row)
        transition = worlds.step(done, blind)
        reward = (-worlds.time - np.arange(3)).astype(np.float32) if paid else None
        finished = recorder.add(transition, reward)
        assert sorted(finished) == [i for i in range(recorded) if done[i]]
        for i, trace in finished.items():
            check(trace, expected(i, began[i], worlds.time, stride, blind, paid), views)
        recorder.begin(worlds.shown(), done)
        began = [worlds.time if over else first for first, over in zip(began, row, strict=True)]
        assert recorder.lengths.tolist() == [worlds.time - first for first in began[:recorded]]
    if not views:
        assert not worlds.looked


@pytest.mark.parametrize("steps", [63, 64, 65, 300])
def test_long_episodes_beside_short_ones(steps: int) -> None:
    """World 0 ends after ``steps``, world 1 after every third: rows that only the former needs are kept."""
    worlds, last = Told(2), 0
    recorder = EpisodeRecorder(2, (), 1, 20.0, "policy")
    recorder.begin(worlds.shown(), np.ones(2, bool))
    for step in range(1, steps + 1):
        done = np.array([step == steps, step % 3 == 0])
        for i, trace in recorder.add(worlds.step(done, blind=False)).items():
            check(trace, expected(i, last if i else 0, step, 1, blind=False, paid=False), views=False)
        last = step if done[1] else last
        recorder.begin(worlds.shown(), done)


def test_a_world_that_was_not_begun_again_is_neither_recorded_nor_looked_at() -> None:
    worlds = Told(2)
    recorder = EpisodeRecorder(2, ("front",), 1, 20.0, "policy")
    recorder.begin(worlds.shown(), np.ones(2, bool))
    assert set(recorder.add(worlds.step(np.array([True, True]), blind=False))) == {0, 1}
    looked = len(worlds.looked)
    assert recorder.add(worlds.step(np.array([True, True]), blind=False)) == {}
    assert len(worlds.looked) == looked
    recorder.begin(worlds.shown(), np.array([False, True]))
    assert list(recorder.add(worlds.step(np.array([True, True]), blind=False))) == [1]
