"""Lazy views: rendered once, valid once read, stale afterwards, never a later picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_reward.contracts import Frames
from robo_reward.errors import UserError
from robo_reward.views import LazyViews, StaleView, pin


class Camera:
    """A world whose picture is its clock, and which counts how often it was rendered."""

    def __init__(self) -> None:
        self.clock = 0
        self.rendered: list[str] = []

    def render(self, name: str) -> Frames:
        self.rendered.append(name)
        return np.full((2, 8, 8, 3), self.clock, np.uint8)

    def views(self) -> LazyViews:
        made = self.clock
        return LazyViews(("front", "side"), self.render, lambda: self.clock == made)


def test_a_view_renders_at_its_first_read_only() -> None:
    camera = Camera()
    views = camera.views()
    assert camera.rendered == []
    assert list(views) == ["front", "side"]
    assert len(views) == 2
    assert "side" in views
    first = views["front"]
    assert views["front"] is first
    assert camera.rendered == ["front"]


def test_a_view_that_was_read_outlives_the_step_and_one_that_was_not_is_stale() -> None:
    camera = Camera()
    views = camera.views()
    front = views["front"].copy()
    camera.clock += 1
    np.testing.assert_array_equal(views["front"], front)
    with pytest.raises(StaleView, match="'side' was not read"):
        views["side"]
    assert camera.rendered == ["front"]


def test_pinned_frames_are_a_plain_dict() -> None:
    camera = Camera()
    views = camera.views()
    pinned = pin(views, ["side"])
    camera.clock += 1
    assert type(pinned) is dict
    assert pinned["side"].max() == 0
    with pytest.raises(StaleView):
        pin(views, ["front"])


def test_an_unknown_view_names_the_nearest() -> None:
    views = Camera().views()
    with pytest.raises(UserError, match="did you mean 'front'"):
        views["frnt"]
    with pytest.raises(UserError, match="unknown view 'top'"):
        pin(views, ["top"])


def test_shared_frames_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Camera().views()["front"][0] = 1


@given(st.lists(st.sampled_from(["front", "side", "step"]), max_size=20))
def test_no_order_of_reads_and_steps_ever_shows_a_later_picture(events: list[str]) -> None:
    camera = Camera()
    views = camera.views()
    for event in events:
        if event == "step":
            camera.clock += 1
            continue
        try:
            assert views[event].max() == 0
        except StaleView:
            assert camera.clock > 0
    assert len(camera.rendered) == len(set(camera.rendered))
