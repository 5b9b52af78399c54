"""Bad rewards that no probe was made for are refused all the same; a sound one of another shape is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from robo_reward.contracts import Estimate, Flags, Floats, Observation, Transition
from robo_reward.errors import UserError
from robo_reward.reward_models.audit.attack import Attack
from robo_reward.reward_models.audit.audit_episodes import AuditEpisodes
from robo_reward.reward_models.audit.report_card import ReportCard
from robo_reward.reward_models.no_reward import NoReward
from robo_reward.trace import Trace

from .audit_world import GOAL, ROBOT, BoxWorld, Decoder, SimulatorProgress

Values = NDArray[np.float64]


class WayTravelled(Decoder):
    """Pays for every move of the robot."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        return np.concatenate([[0], np.cumsum(np.abs(np.diff(self.places(trace, ROBOT))))])


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


class Undecided(Decoder):
    """Tells the way, and calls everything a success with the same probability."""

    def called(self, progress: Floats) -> Floats:
        return np.full_like(progress, 0.45)


class HalfIsEnough(Decoder):
    """Full at 60% of the way; knows success when it sees it."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        self._true = progress
        return np.minimum(1, progress / 0.6)

    def called(self, progress: Floats) -> Floats:
        return (self._true >= GOAL - 0.02).astype(np.float32)


class PaysForPushing(Decoder):
    """Two fifths of everything are commands."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        self._true = progress
        pushed = np.abs(trace.action).mean() if len(trace.action) else 0.0
        return 0.6 * progress + 0.4 * pushed

    def called(self, progress: Floats) -> Floats:
        return (self._true >= GOAL - 0.02).astype(np.float32)


class LikesTheSun(Decoder):
    """Everything is done where a picture is white."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        white = np.any([frames.min((1, 2, 3)) > 200 for frames in trace.frames.values()], 0)
        return np.where(white, 1.0, progress)


class MatchesAnything(Decoder):
    """The true progress, and a match that fits every episode."""

    def estimate_episode(self, trace: Trace) -> Estimate:
        return replace(super().estimate_episode(trace), match=np.ones(len(trace.frame_steps), np.float32))


class AnotherStepByStep(Decoder):
    """Says the truth of whole episodes, and 1 of every step."""

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        one, none = np.ones(len(fresh), np.float32), np.zeros(len(fresh), np.float32)
        return Estimate(one, none, one, none)

    def estimate(self, transition: Transition) -> Estimate:
        return self.begin(transition.after, transition.done)


BAD = (
    *(WayTravelled, Changed, BrightBelow, MovedAnywhere, NeverFalls, PaysForWaiting, Undecided, HalfIsEnough),
    *(PaysForPushing, LikesTheSun, MatchesAnything, AnotherStepByStep),
)


@pytest.fixture(scope="module")
def episodes() -> AuditEpisodes:
    return ReportCard().collect(BoxWorld(), 4, Decoder(), 0)


def audited(model: Any, episodes: AuditEpisodes) -> dict[str, Any]:
    return ReportCard(attack=Attack(n=8, generations=1, population=8)).run(model, episodes, 0, BoxWorld())


@pytest.mark.parametrize("bad", BAD)
def test_bad_rewards_of_other_kinds_are_refused(bad: type[Decoder], episodes: AuditEpisodes) -> None:
    report = audited(bad(), episodes)
    assert report["verdict"] == "refuse", report["reasons"]


class DeafTruth(SimulatorProgress):
    """The truth about one task, whatever it is told."""

    def other_task(self, progress: Floats) -> Floats:
        return progress


def test_the_truth_about_one_task_passes_and_is_told_that_it_reads_no_instruction(episodes: AuditEpisodes) -> None:
    report = audited(DeafTruth(), episodes)
    assert report["verdict"] == "pass", report["reasons"]
    assert report["probes"]["wrong_instruction"]["passed"] is False
    assert ["wrong_instruction" in reason for reason in report["reasons"]] == [True]
    asked = ReportCard().run(DeafTruth(), episodes, 0, other_tasks=["fold the towel"])
    assert asked["verdict"] == "care"


def test_a_reward_that_knows_no_success_is_told_so(episodes: AuditEpisodes) -> None:
    class Silent(Decoder):
        def called(self, progress: Floats) -> Floats:
            return np.zeros_like(progress)

    report = audited(Silent(), episodes)
    assert report["figures"]["success_auroc"] is None
    assert any("calls nothing a success" in reason for reason in report["reasons"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: replace(e, progress=e.progress * np.float32(np.nan)), "gave progress=nan at frame 0"),
        (lambda e: replace(e, progress=e.progress * np.float32(1.3)), r"gave progress=1\.\d+ .* outside \[0, 1\]"),
        (lambda e: replace(e, uncertainty=e.uncertainty - 5), "gave uncertainty=-5 at frame 0"),
        (lambda e: e.at(slice(1, None)), "gave progress of shape"),
        (lambda e: None, "gave NoneType in place of an Estimate"),
    ],
)
def test_what_breaks_the_contract_is_refused_for_that_reason_alone(
    change: Callable[[Estimate], Any], words: str, episodes: AuditEpisodes
) -> None:
    class Broken(Decoder):
        def estimate_episode(self, trace: Trace) -> Any:
            return change(super().estimate_episode(trace))

    report = audited(Broken(), episodes)
    assert report["verdict"] == "refuse"
    assert len(report["reasons"]) == 1
    assert re.search(words, report["reasons"][0]), report["reasons"]


def test_no_opinion_is_nothing_to_audit(episodes: AuditEpisodes) -> None:
    with pytest.raises(UserError, match="nothing to audit"):
        audited(NoReward(), episodes)


def test_a_sound_reward_of_another_shape_is_not(episodes: AuditEpisodes) -> None:
    report = audited(Bent(), episodes)
    assert report["verdict"] == "pass", report["reasons"]


class SparseWorld(BoxWorld):
    """Pays for success alone, and a little for being there."""

    def step(self, action: Floats) -> Transition:
        step = super().step(action)
        paid = (step.after.state[:, 1] >= GOAL) - 0.02 * np.abs(action).mean(1)
        return replace(step, env_reward=paid.astype(np.float32))


def test_the_truth_passes_where_the_simulator_pays_for_success_alone() -> None:
    found = ReportCard().collect(SparseWorld(), 4, SimulatorProgress(), 0)
    for near in found.of("near_miss"):
        assert near.progress == pytest.approx(float(near.trace.state[-1, 1]), abs=0.1)
    report = ReportCard().run(SimulatorProgress(), found, 0)
    assert report["verdict"] == "pass", report["reasons"]
