"""The short audit before training: a planted reward that pays for hovering is refused, sound ones pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from robo_reward.contracts import Floats
from robo_reward.estimate_check import ContractBroken
from robo_reward.reward_models.audit.audit_episodes import AuditEpisodes, collect
from robo_reward.reward_models.audit.short_audit import AuditReport, ShortAudit
from robo_reward.reward_models.ensemble import Ensemble
from robo_reward.reward_models.remote.client import connect_remote
from robo_reward.trace import Trace

from .audit_world import VIEWS, BoxWorld, Decoder, EasilyPleased, SimulatorProgress
from .reward_server import serving

HOVERING = {"audit/hovering_gap", "audit/hovering_called"}


class NearlyThere(Decoder):
    """Pays in full from 72% on, but is a good judge of success."""

    def twist(self, progress: NDArray[np.float64], trace: Trace) -> NDArray[np.float64]:
        self._true = progress
        return progress / 0.72

    def called(self, progress: Floats) -> Floats:
        return (self._true >= 0.93).astype(np.float32)


class CallsTooSoon(Decoder):
    """Its progress is right, what it calls a success begins half way."""

    def called(self, progress: Floats) -> Floats:
        return (progress > 0.5).astype(np.float32)


class KnowsSuccessAlone(Decoder):
    """No progress until the end, where it knows what it sees."""

    knows_progress = False

    def twist(self, progress: NDArray[np.float64], trace: Trace) -> NDArray[np.float64]:
        return np.where(progress >= 0.7, 1.0, 0.0)

    def called(self, progress: Floats) -> Floats:
        return np.zeros_like(progress)


@pytest.fixture(scope="module")
def episodes() -> AuditEpisodes:
    return collect(BoxWorld(), 4, 0, VIEWS, 1, taken=2)


def audited(model: Any, episodes: AuditEpisodes) -> AuditReport:
    random = [e.trace for e in episodes.of("random")]
    return ShortAudit().run(model, episodes.successes[:2], random)


@pytest.mark.parametrize("sound", [Decoder, SimulatorProgress])
def test_sound_rewards_pass(sound: type[SimulatorProgress], episodes: AuditEpisodes) -> None:
    report = audited(sound(), episodes)
    assert report.verdict == "pass", report.values
    assert 0.1 < (report.values["audit/hovering_gap"] or 0) < 0.3, "80% of the way is worth some 20% less"


@pytest.mark.parametrize("bad", [EasilyPleased, NearlyThere])
def test_a_reward_that_pays_for_being_nearly_done_is_refused(bad: type[Decoder], episodes: AuditEpisodes) -> None:
    report = audited(bad(), episodes)
    assert report.verdict == "refuse"
    assert "audit/hovering_gap" in report.failed


def test_without_the_probe_it_would_have_come_through(episodes: AuditEpisodes) -> None:
    report = audited(NearlyThere(), episodes)
    assert len(set(report.failed) - HOVERING) <= 1
    unasked = ShortAudit(gap=-1.0, called=1.0).run(
        NearlyThere(), episodes.successes[:2], [e.trace for e in episodes.of("random")]
    )
    assert unasked.verdict != "refuse"


def test_calling_success_on_the_way_is_refused_whatever_the_progress(episodes: AuditEpisodes) -> None:
    report = audited(CallsTooSoon(), episodes)
    assert report.verdict == "refuse"
    assert "audit/hovering_called" in report.failed
    assert "audit/hovering_gap" not in report.failed


def test_the_gap_is_not_asked_of_a_model_that_knows_success_alone(episodes: AuditEpisodes) -> None:
    report = audited(KnowsSuccessAlone(), episodes)
    assert report.values["audit/hovering_gap"] is None
    assert report.values["audit/voc_demonstrations"] is None
    assert report.values["audit/hovering_called"] == 0.0


def test_through_a_server_or_an_ensemble_of_one_it_is_the_same_report(episodes: AuditEpisodes, tmp_path: Path) -> None:
    here = audited(KnowsSuccessAlone(), episodes)
    assert audited(Ensemble({"only": KnowsSuccessAlone()}), episodes).values == here.values
    with serving(KnowsSuccessAlone(), str(tmp_path / "s")) as (address, _):
        there = audited(connect_remote(address), episodes)
    assert (there.verdict, there.values) == (here.verdict, here.values)


def test_what_breaks_the_contract_is_no_figure(episodes: AuditEpisodes) -> None:
    class Lost(SimulatorProgress):
        def called(self, progress: Floats) -> Floats:
            return np.full_like(progress, np.nan)

    with pytest.raises(ContractBroken, match="gave success=nan"):
        audited(Lost(), episodes)
