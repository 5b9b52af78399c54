"""Bad rewards that no probe was made for are refused all the same; a sound one of another shape is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from robo_reward.contracts import Floats
from robo_reward.reward_models.audit.attack import Attack
from robo_reward.reward_models.audit.audit_episodes import AuditEpisodes
from robo_reward.reward_models.audit.report_card import ReportCard
from robo_reward.trace import Trace

from .audit_world import GOAL, ROBOT, BoxWorld, Decoder

Values = NDArray[np.float64]


class WayTravelled(Decoder):
    """Pays for every move of the robot."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        robot = np.array([self.frame(trace, k, ROBOT) for k in range(len(progress))])
        return np.concatenate([[0], np.cumsum(np.abs(np.diff(robot)))])


class Changed(Decoder):
    """Pays for a picture that differs from the first one."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        frames = trace.frames["front"].astype(float)
        return np.abs(frames - frames[:1]).mean((1, 2, 3)) / 4


class BrightBelow(Decoder):
    """Pays for the brightness of the right half of the picture."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        return (trace.frames["front"][:, :, 60:].mean((1, 2, 3)) - 85) / 6


class MovedAnywhere(Decoder):
    """Pays for the box being elsewhere than at the first frame."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        return np.abs(progress - progress[0]) / 0.9


class NeverFalls(Decoder):
    """The best that was ever reached."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        return np.maximum.accumulate(progress)


class PaysForWaiting(Decoder):
    """A third of everything is time."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        self._true = progress
        return 0.67 * progress + 0.33 * np.minimum(1, trace.frame_steps / 25)

    def called(self, progress: Floats) -> Floats:
        return (self._true >= GOAL - 0.02).astype(np.float32)


class Bent(Decoder):
    """Sound, but of another shape: slow at first, fast at the end."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        return np.clip(progress, 0, 1) ** 1.6

    def called(self, progress: Floats) -> Floats:
        return (progress >= (GOAL - 0.02) ** 1.6).astype(np.float32)


BAD = (WayTravelled, Changed, BrightBelow, MovedAnywhere, NeverFalls, PaysForWaiting)


@pytest.fixture(scope="module")
def episodes() -> AuditEpisodes:
    return ReportCard().collect(BoxWorld(), 4, Decoder(), 0)


def audited(model: Any, episodes: AuditEpisodes) -> dict[str, Any]:
    return ReportCard(attack=Attack(n=8, generations=1, population=8)).run(model, episodes, 0, BoxWorld())


@pytest.mark.parametrize("bad", BAD)
def test_bad_rewards_of_other_kinds_are_refused(bad: type[Decoder], episodes: AuditEpisodes) -> None:
    report = audited(bad(), episodes)
    assert report["verdict"] == "refuse", report["reasons"]


def test_a_sound_reward_of_another_shape_is_not(episodes: AuditEpisodes) -> None:
    report = audited(Bent(), episodes)
    assert report["verdict"] == "pass", report["reasons"]
