"""The truth is at no distance from a simulator's reward that is shaped, and is not refused by one that pays changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from robo_reward.contracts import Floats, Transition
from robo_reward.reward_models.audit.audit_episodes import AuditEpisodes
from robo_reward.reward_models.audit.report_card import ReportCard
from robo_reward.reward_models.audit.reward_distance import sampled_epic

from .audit_world import BoxWorld, SimulatorProgress


class Paying(BoxWorld):
    """Pays for the box's place before and after a step, in a long episode."""

    horizon = 150

    def step(self, action: Floats) -> Transition:
        before = self._box
        step = super().step(action)
        paid = self.paid(before, float(step.after.state[0, 1]))
        return replace(step, env_reward=np.array([paid], np.float32))

    def paid(self, before: float, now: float) -> float:
        raise NotImplementedError


class Velocity(Paying):
    def paid(self, before: float, now: float) -> float:
        return now - before


class Shaped(Paying):
    def paid(self, before: float, now: float) -> float:
        return now + 100 * (0.99 * now - before)


class BentVelocity(Paying):
    """The change of a potential that no line goes through."""

    def paid(self, before: float, now: float) -> float:
        return now**4 - before**4


class Backwards(SimulatorProgress):
    def twist(self, progress: Any, trace: Any) -> Any:
        return 1 - progress


def audited(model: Any, episodes: AuditEpisodes) -> dict[str, Any]:
    return ReportCard(without=["wrong_instruction"]).run(model, episodes, 0)


@pytest.mark.parametrize("world", [Velocity, Shaped])
def test_the_truth_is_not_refused_for_a_shaped_reward(world: type[Paying]) -> None:
    episodes = ReportCard().collect(world(), 6, SimulatorProgress(), 0)
    report = audited(SimulatorProgress(), episodes)
    assert report["verdict"] != "refuse", report["reasons"]
    assert "epic" in report["not_judged"]
    assert report["figures"]["starc"] == pytest.approx(0, abs=0.01)
    worse = audited(Backwards(), episodes)
    assert worse["figures"]["starc"] > 0.9
    assert worse["verdict"] == "refuse"


@pytest.mark.parametrize("steps", [40, 400])
def test_the_number_of_steps_of_a_world_does_not_change_the_judged_distance(steps: int) -> None:
    """At each the same way, in smaller steps."""
    way, size = np.linspace(0, 1, steps), 2
    truth = np.tile(1 - np.tanh(5 * (1 - way)), size)
    assert sampled_epic(np.tile(way, size), truth) == pytest.approx(0.346, abs=0.002)


def test_no_distance_to_a_reward_that_pays_changes_is_judged() -> None:
    episodes = ReportCard().collect(BentVelocity(), 6, SimulatorProgress(), 0)
    report = audited(SimulatorProgress(), episodes)
    assert report["figures"]["epic"] > 0.05
    assert "epic" in report["not_judged"]
    assert report["verdict"] != "refuse", report["reasons"]


def test_the_distance_to_a_reward_of_the_state_is_judged() -> None:
    episodes = ReportCard().collect(BoxWorld(), 4, SimulatorProgress(), 0)
    assert "epic" not in audited(SimulatorProgress(), episodes)["not_judged"]
    assert any("(epic)" in reason for reason in audited(Backwards(), episodes)["reasons"])
