"""A reward that speaks otherwise step by step, later, or of other frames than in the audit is found out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from robo_reward.contracts import Estimate, Flags, Floats, Observation, Transition
from robo_reward.reward_models.audit.audit_episodes import AuditEpisodes, sort_recorded
from robo_reward.reward_models.audit.report_card import ReportCard
from robo_reward.reward_models.audit.short_audit import ShortAudit
from robo_reward.trace import Trace

from .audit_world import GOAL, BoxWorld, Decoder, SimulatorProgress

Values = NDArray[np.float64]


class Stepped(SimulatorProgress):
    """The truth, step by step too."""

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        self._last = self.now(first)
        return self.said(self._last, np.zeros_like(self._last))

    def estimate(self, transition: Transition) -> Estimate:
        progress = self.now(transition.after)
        gain, self._last = progress - self._last, progress
        return self.said(progress, gain)

    def now(self, observation: Observation) -> Floats:
        return np.clip(observation.state[:, 1], 0, 1).astype(np.float32)

    def said(self, progress: Floats, gain: Floats) -> Estimate:
        return Estimate(progress, gain, self.called(progress), np.zeros_like(progress))


class GainsAtEveryStep(Stepped):
    def estimate(self, transition: Transition) -> Estimate:
        return replace(super().estimate(transition), gain=np.ones(len(transition.done), np.float32))


class PaysForCommands(Stepped):
    def estimate(self, transition: Transition) -> Estimate:
        said, pushed = super().estimate(transition), np.abs(transition.action).mean(1)
        return replace(said, progress=np.maximum(said.progress, 0.8 * pushed).astype(np.float32))


class GivesAllWhatTheFirstEarns(Stepped):
    def now(self, observation: Observation) -> Floats:
        return np.full(len(observation.state), super().now(observation)[0])


class Tires(Stepped):
    """Less, the more it was asked."""

    asked = 0

    def twist(self, progress: Values, trace: Trace) -> Values:
        self.asked += 1
        return progress * 0.99**self.asked


class Waits(Decoder):
    """Sound: nothing for the first two thirds of the way."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        return np.clip(3 * progress - 2, 0, 1)

    def called(self, progress: Floats) -> Floats:
        return (progress >= 3 * (GOAL - 0.02) - 2).astype(np.float32)


class NoGains(Decoder):
    def estimate_episode(self, trace: Trace) -> Estimate:
        said = super().estimate_episode(trace)
        return replace(said, gain=np.zeros_like(said.gain))


class NothingBeforeAGreyPicture(Decoder):
    """No number before one of the covered lenses, and not before the first of them."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        grey = np.all([np.ptp(frames, (1, 2, 3)) == 0 for frames in trace.frames.values()], 0)
        return np.where(grey, np.nan, progress)


@pytest.fixture(scope="module")
def episodes() -> AuditEpisodes:
    return ReportCard().collect(BoxWorld(), 3, Decoder(), 0)


def audited(model: Any, episodes: AuditEpisodes) -> dict[str, Any]:
    return ReportCard(without=["wrong_instruction"]).run(model, episodes, 0)


def test_the_truth_says_the_same_step_by_step_and_again(episodes: AuditEpisodes) -> None:
    report = audited(Stepped(), episodes)
    assert report["verdict"] == "pass", report["reasons"]
    assert report["figures"]["stepped_difference"] == pytest.approx(0, abs=1e-6)
    assert report["figures"]["repeated_difference"] == 0


@pytest.mark.parametrize("bad", [GainsAtEveryStep, PaysForCommands, GivesAllWhatTheFirstEarns])
def test_what_is_paid_step_by_step_is_looked_at(bad: type[Stepped], episodes: AuditEpisodes) -> None:
    report = audited(bad(), episodes)
    assert report["verdict"] == "refuse"
    assert ["stepped_difference" in reason for reason in report["reasons"]] == [True]


def test_a_reward_that_changes_its_mind_is_refused(episodes: AuditEpisodes) -> None:
    report = audited(Tires(), episodes)
    assert report["verdict"] == "refuse"
    assert report["figures"]["repeated_difference"] > 0.1


def test_stretches_without_change_are_care_alone(episodes: AuditEpisodes) -> None:
    report = audited(Waits(), episodes)
    assert report["figures"]["voc"] < 0.9
    assert report["figures"]["concordance"] == 1
    assert report["verdict"] == "care", report["reasons"]
    short = ShortAudit().run(Waits(), episodes.successes[:2], [e.trace for e in episodes.of("random")])
    assert (short.verdict, short.failed) == ("care", ("audit/voc_demonstrations",))


def test_a_reward_without_gains_is_told(episodes: AuditEpisodes) -> None:
    report = audited(NoGains(), episodes)
    assert report["verdict"] == "care"
    assert ["net_gain" in reason for reason in report["reasons"]] == [True]


def test_a_value_that_is_none_in_a_probe_alone_breaks_the_contract(episodes: AuditEpisodes) -> None:
    report = audited(NothingBeforeAGreyPicture(), episodes)
    assert report["verdict"] == "refuse"
    assert len(report["reasons"]) == 1
    assert "gave progress=nan" in report["reasons"][0]


def test_successes_that_end_when_they_succeed_do_not_refuse_the_truth() -> None:
    collected = ReportCard().collect(BoxWorld(), 3, Decoder(), 0)
    ended = [t.cut(int(t.success_step or 0)) for t in collected.successes]
    # LeRobot records no state after the last action, and marks the one before it
    recorded = [replace(t.cut(len(t) - 1), success=np.arange(len(t)) == len(t) - 1) for t in ended]
    failed = [replace(e.trace, success=None) for e in collected.of("random")]
    report = audited(Decoder(), sort_recorded([*recorded, *failed], 1, 0))
    assert report["verdict"] == "care", report["reasons"]
    assert "what is said of success was not judged" in report["reasons"][-1]
    assert {"success_auroc", "calibration_error"} <= set(report["not_judged"])


class DoneInTheDark(Decoder):
    """Everything is done where a lens is dark."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        dark = np.any([frames.mean((1, 2, 3)) < 30 for frames in trace.frames.values()], 0)
        return np.where(dark, 1.0, progress)


class DarkOnTheWay(Decoder):
    """Takes a dark lens for done, but not at the start."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        dark = np.any([frames.mean((1, 2, 3)) < 30 for frames in trace.frames.values()], 0)
        return np.where(dark & (progress.max() > 0.25), 1.0, progress)


def test_a_lens_that_is_covered_on_the_way_is_tried_too(episodes: AuditEpisodes) -> None:
    report = audited(DarkOnTheWay(), episodes)
    assert report["verdict"] == "refuse"
    assert any("occluded_view" in reason for reason in report["reasons"])


def test_where_no_probe_can_be_tried_nothing_passes() -> None:
    model = DoneInTheDark()
    model.needs = replace(model.needs, stride=8)  # success shows at the third priced frame
    card = ReportCard(without=["wrong_instruction", "hovering"])
    report = card.run(model, card.collect(BoxWorld(), 2, model, 0), 0)
    assert report["probes"]["occluded_view"]["passed"] is None
    assert report["verdict"] != "pass"
    assert any("could not be tried" in reason for reason in report["reasons"])
    assert "probe hovering (left out by card.without)" in report["not_measured"]


class StandsHigh(Decoder):
    """Sound: the start is worth something already."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        return 0.35 + 0.65 * progress

    def called(self, progress: Floats) -> Floats:
        return (progress >= 0.35 + 0.65 * (GOAL - 0.02)).astype(np.float32)


def test_a_level_that_is_high_from_the_start_is_no_progress_of_a_frozen_robot(episodes: AuditEpisodes) -> None:
    report = audited(StandsHigh(), episodes)
    assert report["probes"]["frozen_robot"]["passed"]
    assert report["verdict"] == "care", report["reasons"]
