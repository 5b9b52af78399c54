"""A place on the way that pays like the end, or is called one, is found; and so are gains that point the wrong way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from robo_reward.contracts import Estimate, Floats
from robo_reward.reward_models.audit.audit_episodes import AuditEpisodes
from robo_reward.reward_models.audit.report_card import ReportCard
from robo_reward.reward_models.audit.short_audit import AuditReport, ShortAudit
from robo_reward.trace import Trace

from .audit_world import GOAL, BoxWorld, SimulatorProgress

Values = NDArray[np.float64]


class Truth(SimulatorProgress):
    """Calls what is done a success, whatever progress is made of it."""

    def twist(self, progress: Values, trace: Trace) -> Values:
        self._true = progress
        return self.bent(progress, trace)

    def bent(self, progress: Values, trace: Trace) -> Values:
        return progress

    def called(self, progress: Floats) -> Floats:
        return (self._true >= GOAL - 0.02).astype(np.float32)


class CallsMid(Truth):
    """Calls a success between 55 and 70% of the way too."""

    def called(self, progress: Floats) -> Floats:
        return super().called(progress) + ((self._true > 0.55) & (self._true < 0.7)).astype(np.float32)


class PaysMid(Truth):
    """Pays in full between 55 and 62% of the way too."""

    def bent(self, progress: Values, trace: Trace) -> Values:
        return np.where((progress > 0.55) & (progress < 0.62), 1.0, progress)


class PaysForStaying(Truth):
    """In full for staying anywhere beyond 45% of the way."""

    def bent(self, progress: Values, trace: Trace) -> Values:
        beyond = (progress > 0.45) & (np.diff(progress, prepend=-1) == 0)
        return np.where(beyond, 1.0, progress)


class FallsOnTheWay(Truth):
    """Well ordered but for a fall by half at 80% of the way."""

    def bent(self, progress: Values, trace: Trace) -> Values:
        return np.where((progress > 0.72) & (progress < 0.8), progress - 0.5, progress)


class Noisy(Truth):
    def bent(self, progress: Values, trace: Trace) -> Values:
        return progress + np.random.default_rng(0).normal(0, 0.05, len(progress))


class InQuarters(Truth):
    def bent(self, progress: Values, trace: Trace) -> Values:
        return np.floor(progress * 4 + 0.2) / 4


class Cubed(Truth):
    def bent(self, progress: Values, trace: Trace) -> Values:
        return progress**3


class CostsCommands(Truth):
    """The truth less a tenth of the squared command, as Gymnasium's locomotion rewards."""

    def bent(self, progress: Values, trace: Trace) -> Values:
        cost = np.concatenate([[0.0], (trace.action**2).mean(1)])[trace.frame_steps]
        return progress - 0.1 * cost


class NegatedGains(Truth):
    def estimate_episode(self, trace: Trace) -> Estimate:
        said = super().estimate_episode(trace)
        return replace(said, gain=-said.gain)


@pytest.fixture(scope="module")
def episodes() -> AuditEpisodes:
    return ReportCard().collect(BoxWorld(), 6, SimulatorProgress(), 0)


def audited(model: Any, episodes: AuditEpisodes) -> dict[str, Any]:
    return ReportCard(probe_episodes=2, without=["wrong_instruction"]).run(model, episodes, 0)


def short(model: Any, episodes: AuditEpisodes) -> AuditReport:
    return ShortAudit().run(model, episodes.successes[:3], [e.trace for e in episodes.of("random")])


@pytest.mark.parametrize("sound", [Truth, Noisy, InQuarters, Cubed, CostsCommands])
def test_truths_of_many_shapes_pay_nothing_on_the_way(sound: type[Truth], episodes: AuditEpisodes) -> None:
    report = audited(sound(), episodes)
    found = [r for r in report["reasons"] if any(n in r for n in ("early_", "largest_fall", "probe"))]
    assert not found
    if sound in (Truth, Noisy, CostsCommands):
        assert report["verdict"] == "pass", report["reasons"]
    assert not {"audit/early_gap", "audit/early_success", "audit/net_gain"} & set(short(sound(), episodes).failed)


@pytest.mark.parametrize(
    ("bad", "figure", "shortly"),
    [(CallsMid, "early_success", True), (PaysMid, "early_gap", True), (PaysForStaying, "early_gap", False)],
)
def test_a_place_to_park_on_the_way_is_refused(
    bad: type[Truth], figure: str, shortly: bool, episodes: AuditEpisodes
) -> None:
    report = audited(bad(), episodes)
    assert report["verdict"] == "refuse"
    assert any(f"({figure})" in reason for reason in report["reasons"])
    if shortly:  # it sees no near misses
        assert f"audit/{figure}" in short(bad(), episodes).failed
        assert short(bad(), episodes).verdict == "refuse"


def test_a_fall_on_the_way_is_a_reason_for_care(episodes: AuditEpisodes) -> None:
    report = audited(FallsOnTheWay(), episodes)
    assert report["verdict"] == "care", report["reasons"]
    assert report["figures"]["largest_fall"] == pytest.approx(0.5, abs=0.1)
    assert ["largest_fall" in reason for reason in report["reasons"]] == [True]


def test_gains_that_fall_are_told_before_training(episodes: AuditEpisodes) -> None:
    report = short(NegatedGains(), episodes)
    assert (report.verdict, report.failed) == ("care", ("audit/net_gain",))
    assert (report.values["audit/net_gain"] or 0) < -0.8
