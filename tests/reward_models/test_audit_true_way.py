"""What failures and near misses truly did is told by the simulator's reward where it tells it, and by nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from robo_reward.contract_tests import moving_square
from robo_reward.line_world import LineReward, LineWorld
from robo_reward.reward_models.audit.report_card import ReportCard
from robo_reward.reward_models.audit.true_way import rises, share_of_way, ways
from robo_reward.trace import Trace

from .audit_world import BoxWorld, Decoder


def success(paid: NDArray[Any], rest: float | None = None) -> Trace:
    """A success at the last step but two, with these rewards until then, and ``rest`` (the last) for staying there."""
    trace = moving_square(0, steps=len(paid) + 2)
    won = np.arange(len(trace.state)) >= len(paid)
    return replace(
        trace, success=won, env_reward=np.append(paid, [paid[-1] if rest is None else rest] * 2).astype(np.float32)
    )


def failure(paid: list[float]) -> Trace:
    return replace(moving_square(1, steps=len(paid)), success=None, env_reward=np.asarray(paid, np.float32))


LEVEL = np.linspace(1, 9, 20)
SILENT = {
    "the change of progress": success(0.05 + 1e-9 * np.arange(20), 0),
    "a change that comes to rest": success(np.linspace(1, 0.1, 20), 0),
    "an ever greater change": success(np.linspace(0.1, 1, 20), 0),
    "success alone": success(np.append(np.zeros(19), 1)),
    "a price for each step": success(np.append(-np.ones(19), 0)),
}


def test_ways_by_hand() -> None:
    # failures begin with 1 and 3, so that 0 is a reward of 2 and 1 one of 9; the last three rewards count
    lost = [failure([1, 0, 5, 5.5, 6]), failure([3, 2, 1, 1, 1])]
    assert ways(lost, [success(LEVEL)]) == pytest.approx([0.5, 0])
    assert share_of_way(success(LEVEL), 0.5) == pytest.approx(9 / 19)
    assert rises([success(LEVEL)])


@pytest.mark.parametrize("silent", SILENT.values(), ids=list(SILENT))
def test_a_reward_that_tells_nothing_of_the_way_is_not_asked(silent: Trace) -> None:
    assert ways([failure([0, 0.05, 0.05])], [silent]) == [0]
    assert share_of_way(silent, 0.6) == 0.6


def test_without_a_reward_random_failures_did_nothing() -> None:
    bare = [replace(t, env_reward=None) for t in (failure([0, 1]), success(LEVEL))]
    assert ways(bare[:1], [success(LEVEL)]) == [0]
    assert ways([failure([0, 1])], bare[1:]) == [0]
    assert not rises(bare)


@pytest.mark.parametrize("seed", range(6))
def test_random_failures_that_end_near_the_goal_do_not_refuse_the_truth(seed: int) -> None:
    # starts are up to half of the way: two random episodes may well end at 0.6
    world = LineWorld(1, 30, oracle="reward")
    card = ReportCard(without=["wrong_instruction"])
    episodes = card.collect(world, 2, LineReward(), seed)
    figures = card.run(LineReward(), episodes, seed)["figures"]
    assert (figures["failure_progress"] or 0) < 0.3


def test_a_reward_that_pays_failures_is_still_found_out() -> None:
    class Generous(Decoder):
        """Sound but for a third of everything that is given away."""

        def twist(self, progress: NDArray[np.float64], trace: Trace) -> NDArray[np.float64]:
            return 0.6 + 0.4 * progress

    card = ReportCard(without=["wrong_instruction"])
    episodes = card.collect(BoxWorld(), 3, Generous(), 0)
    report = card.run(Generous(), episodes, 0)
    assert report["verdict"] == "refuse"
    assert any("(failure_progress)" in reason for reason in report["reasons"])
