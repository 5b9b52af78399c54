"""A reward that looks at every n-th step is judged by the frames that it sees, the one that shows success included."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from robo_reward.contracts import Estimate, Flags, Observation
from robo_reward.reward_models.audit.audit_episodes import AuditEpisodes
from robo_reward.reward_models.audit.report_card import ReportCard
from robo_reward.reward_models.audit.short_audit import ShortAudit
from robo_reward.trace import Trace

from .audit_world import GOAL, BoxWorld, SimulatorProgress


class Looks(SimulatorProgress):
    """The truth, at every ``stride``-th step."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.needs = replace(self.needs, stride=stride)


class Sparse(Looks):
    """Sound: nothing but the success itself."""

    def twist(self, progress: NDArray[np.float64], trace: Trace) -> NDArray[np.float64]:
        return (progress >= GOAL).astype(float)


def audited(model: Any) -> tuple[dict[str, Any], AuditEpisodes]:
    card = ReportCard(without=["wrong_instruction"])
    episodes = card.collect(BoxWorld(), 4, model, 0)
    return card.run(model, episodes, 0), episodes


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_the_frame_that_shows_success_counts_at_every_stride(stride: int) -> None:
    report, episodes = audited(Sparse(stride))
    assert stride == 1 or any(int(t.success_step or 0) % stride for t in episodes.successes)
    assert report["figures"]["concordance"] == 1
    assert report["verdict"] == "care", report["reasons"]
    short = ShortAudit().run(Sparse(stride), episodes.successes, [e.trace for e in episodes.of("random")])
    assert short.values["audit/concordance"] == 1
    assert short.verdict == "care", short.failed


def test_episodes_of_a_single_priced_frame_are_told_as_such_and_compared_with_nothing() -> None:
    report, _ = audited(Stepping(100))
    unknown = {"epic", "starc", "stepped_difference", "repeated_difference", "voc", "concordance", "auroc", "net_gain"}
    assert {name: report["figures"][name] for name in unknown} == dict.fromkeys(unknown)
    assert unknown <= set(report["not_measured"])
    assert not any("nan" in reason for reason in report["reasons"])
    assert sum("shorter than the stride, 100:" in reason for reason in report["reasons"]) == 1
    assert report["verdict"] == "care", report["reasons"]


class Stepping(Looks):
    """The truth, step by step too."""

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        place = first.state[:, 1]
        return Estimate(place, np.zeros_like(place), np.zeros_like(place), np.zeros_like(place))
