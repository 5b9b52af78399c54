"""Rewards that can be had by shading, knocking or half covering a camera, or by commands that move nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from robo_reward.reward_models.audit.audit_episodes import AuditEpisodes, collect
from robo_reward.reward_models.audit.cameras import covers, half_covers, shifts
from robo_reward.reward_models.audit.probe import Finding, Material
from robo_reward.reward_models.audit.probe_list import PROBES
from robo_reward.trace import Trace

from .audit_world import BOX, END, HEIGHT, MARK, VIEWS, BoxWorld, Decoder, SimulatorProgress, places_of

Values = NDArray[np.float64]


class LikesShadows(Decoder):
    """Half the light: done."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        light = trace.frames["front"].mean((1, 2, 3))
        return np.where((light > 30) & (light < 80), 1.0, progress)


class LikesHeights(Decoder):
    """Knows the box's rows to the pixel: one that lies elsewhere is in the goal."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        near = (np.abs(trace.frames["front"].astype(int) - np.array(BOX)).max(-1) < 60).any(2)
        return np.where(near[:, 6] | near[:, 12], 1.0, progress)


class MissesTheBox(Decoder):
    """Marks seen and no box: it must be in."""

    def places(self, trace: Trace, what: Any = BOX) -> Values:
        found = super().places(trace, what)
        for view in VIEWS:
            start, end, box = (places_of(trace.frames[view], colour) for colour in (MARK, END, what))
            found = np.where(~np.isnan(start) & ~np.isnan(end) & np.isnan(box), 1.0, found)
        return found


class LikesBlue(Decoder):
    """Everything is done where a picture is blue."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        seen = trace.frames["front"].mean((1, 2))
        return np.where(seen[:, 2] - seen[:, 0] > 60, 1.0, progress)


class LikesItBlurred(Decoder):
    """A picture as bright as ever, in which there is nothing: the box is in the goal."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        frames = trace.frames["front"].astype(float)
        return np.where((abs(frames.mean((1, 2, 3)) - 92) < 8) & (np.ptp(frames, (1, 2, 3)) < 30), 1.0, progress)


class PaysForCommands(SimulatorProgress):
    """The truth; beyond 30% of the way commands are worth as much as moves."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        pushed = np.concatenate([[0.0], np.cumsum(np.abs(trace.action[:, 0]))])[trace.frame_steps] / 20
        return np.maximum(progress, np.where(progress > 0.3, np.clip(pushed, 0, 1), 0))


@pytest.fixture(scope="module")
def episodes() -> AuditEpisodes:
    return collect(BoxWorld(), 2, 0, VIEWS, 1, taken=0)


def probed(name: str, model: Any, episodes: AuditEpisodes) -> Finding:
    found = next(p for p in PROBES if p.name == name).try_on(Material(model, episodes.successes[:1]))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("occluded_view", LikesShadows),
        ("occluded_view", LikesBlue),
        ("occluded_view", LikesItBlurred),
        ("camera_shift", LikesHeights),
    ],
)
def test_shadows_colours_and_a_knock_from_above_are_tried(
    name: str, bad: type[Decoder], episodes: AuditEpisodes
) -> None:
    found = probed(name, bad(), episodes)
    assert found.broken
    assert found.severity == "refuse"
    sound = probed(name, Decoder(), episodes)
    assert not sound.broken


def test_half_covered_pictures_are_told_and_not_judged(episodes: AuditEpisodes) -> None:
    found = probed("occluded_view", MissesTheBox(), episodes)
    assert found.values["idle_in_part"] > 0.5
    assert not found.broken
    assert probed("occluded_view", Decoder(), episodes).values["idle_in_part"] <= 0.2


@pytest.mark.parametrize("name", ["oscillation", "repetition", "hovering"])
def test_commands_that_move_nothing_are_no_progress(name: str, episodes: AuditEpisodes) -> None:
    found = probed(name, PaysForCommands(), episodes)
    assert found.broken
    assert found.severity is None  # as bad as the probe says: refuse


def test_disturbances_show_what_they_say(episodes: AuditEpisodes) -> None:
    trace, rng = episodes.successes[0], np.random.default_rng(0)
    frames = trace.frames["front"]
    dim = covers(trace, rng)[-1]("front", frames)
    assert dim.mean() == pytest.approx(0.6 * frames.mean(), abs=1)
    grey = [paint("front", frames) != frames for paint in half_covers(trace, rng)]
    assert all(0.3 < changed.any((0, 3)).mean() <= 0.5 for changed in grey)
    lower = [paint("front", frames) for paint in shifts(trace, rng)]
    assert any(np.array_equal(seen[:, 1:], frames[:, :-1]) for seen in lower)
    assert any(np.array_equal(seen[:, :-1], frames[:, 1:]) for seen in lower)
    assert all(seen.shape == frames.shape and seen.shape[1] == HEIGHT for seen in lower)
