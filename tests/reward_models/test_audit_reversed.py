"""A demonstration that begins part-done, run backwards: the truth ends where it began; what knows no start fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from robo_reward.line_world import LineReward, LineWorld
from robo_reward.reward_models.audit.audit_episodes import play, sort_recorded
from robo_reward.reward_models.audit.probe import Material
from robo_reward.reward_models.audit.probe_list import UndoneTask
from robo_reward.reward_models.audit.report_card import ReportCard
from robo_reward.trace import Trace

from .audit_world import BoxWorld, Decoder


class Level(Decoder):
    """Progress between two levels; ``once``: what was reached is never lost."""

    def __init__(self, low: float, high: float, once: bool = False) -> None:
        super().__init__()
        self.low, self.high, self.once = low, high, once

    def twist(self, progress: NDArray[np.float64], trace: Trace) -> NDArray[np.float64]:
        best = np.maximum.accumulate(progress) if self.once else progress
        return self.low + (self.high - self.low) * best


@pytest.fixture(scope="module")
def demonstrations() -> list[Trace]:
    return ReportCard().collect(BoxWorld(), 2, Decoder(), 0).successes


def probed(model: Level, demonstrations: list[Trace]) -> tuple[str, ...]:
    found = UndoneTask().try_on(Material(model, demonstrations))
    assert found is not None
    return found.broken


@pytest.mark.parametrize("low", [0.0, 0.35, 0.55])
def test_a_start_that_is_worth_something_is_no_fault(low: float, demonstrations: list[Trace]) -> None:
    assert probed(Level(low, 1.0), demonstrations) == ()


@pytest.mark.parametrize("level", [Level(0.65, 0.65), Level(0.62, 0.75), Level(0.7, 0.6), Level(0.5, 1.0, once=True)])
def test_what_finds_everything_good_or_forgets_nothing_fails(level: Level, demonstrations: list[Trace]) -> None:
    assert probed(level, demonstrations)


def test_the_truth_on_a_demonstration_that_begins_half_way() -> None:
    world = LineWorld(1, 30)
    seed = next(s for s in range(100) if world.reset(s).state[0, 0] > 0.47)
    trace, won = play(world, lambda seen, step: world.expert_action(), seed, ("front",), 1, hold=8)
    assert won
    episodes = sort_recorded([replace(trace, source="demonstration")], 1, 0)
    report = ReportCard(without=["wrong_instruction"]).run(LineReward(), episodes, 0)
    assert report["probes"]["reversed_video"]["passed"]
    values = report["probes"]["reversed_video"]["values"]
    assert values["start"] > 0.47
    assert values["final"] > 0.6
    assert not any("reversed_video" in reason for reason in report["reasons"])
