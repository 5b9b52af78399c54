"""What ends episodes while a VLA is tuned: progress or success that is seen twice, an oracle's success, the horizon."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from line_env import make_policy, make_session  # type: ignore[import-not-found]

from robo_reward.contracts import Estimate
from robo_reward.errors import UserError
from robo_reward.line_world import LineReward, LineWorld
from robo_reward.playground import HorizonStop, Playground
from robo_reward.policies.vla_learning.clipped_update import UpdateSettings
from robo_reward.policies.vla_learning.flow_sde import FlowNoise
from robo_reward.policies.vla_learning.group_tuning import GroupSettings, GroupTuner
from robo_reward.policies.vla_learning.ppo_tuning import PpoSettings, PpoTuner
from robo_reward.policies.vla_learning.progress_stop import OracleStop, ProgressStop, check_stages, horizon_at


class Endless:
    """A world by the letter of its contract: nothing that it need not have."""

    asked = ("reset", "step", "observe", "keep_final", "snapshot", "restore", "sealed", "num_worlds", "horizon", "fps")

    def __init__(self, world: LineWorld) -> None:
        self.world, self.name = world, world.name

    def __getattr__(self, name: str) -> Any:
        if name not in self.asked:
            raise AttributeError(name)
        return getattr(self.world, name)


def test_progress_ends_episodes_after_two_looks() -> None:
    stop = ProgressStop(LineReward(), threshold=0.6)
    world = LineWorld(2, 20)
    world.reset(0)
    world._x[:] = [0.1, 0.58]
    stop.begin(world.observe(), np.ones(2, bool))
    stopped = [stop.stops(world.step(np.full((2, 1), 0.5, np.float32))).tolist() for _ in range(3)]
    assert stopped == [[False, False], [False, True], [False, True]]


def test_worlds_are_looked_at_when_their_own_episodes_are_due() -> None:
    looks: list[list[bool]] = []

    class Apart(LineReward):
        def estimate_where(self, transition: Any, look: Any) -> Estimate:
            looks.append(look.tolist())
            return super().estimate(transition)

    model, world = Apart(stride=2), LineWorld(2, 20)
    stop = ProgressStop(model, threshold=0.6)
    world.reset(0)
    stop.begin(world.observe(), np.ones(2, bool))
    for step in range(4):
        stop.stops(world.step(np.zeros((2, 1), np.float32)))
        if step == 0:
            stop.begin(world.observe(), np.array([False, True]))
    assert looks == [[True, False], [False, True], [True, False]]


def test_success_may_end_episodes_in_the_place_of_progress() -> None:
    class Sure(LineReward):
        def estimate(self, transition: Any) -> Estimate:
            seen = super().estimate(transition)
            return Estimate(seen.progress * 0, seen.gain, seen.progress, seen.uncertainty)

    world = LineWorld(2, 20)
    world.reset(0)
    world._x[:] = [0.1, 0.58]
    stop = ProgressStop(Sure(), threshold=0.6, by="success")
    stop.begin(world.observe(), np.ones(2, bool))
    stopped = [stop.stops(world.step(np.full((2, 1), 0.5, np.float32))).tolist() for _ in range(2)]
    assert stopped == [[False, False], [False, True]]
    with pytest.raises(UserError, match="stop_by"):
        ProgressStop(LineReward(), by="luck")  # type: ignore[arg-type]


def test_an_oracles_success_ends_its_episode() -> None:
    stop, world = OracleStop(), LineWorld(2, 20, oracle="success")
    world.reset(0)
    world._x[:] = [0.1, 0.82]
    stop.begin(world.observe(), np.ones(2, bool))
    assert [stop.stops(world.step(np.full((2, 1), 0.5, np.float32))).tolist() for _ in range(2)] == [
        [False, False],
        [False, True],
    ]


def test_horizons_grow_in_equal_stages() -> None:
    stages = check_stages([0.5, 0.75, 1.0])
    assert [horizon_at(stages, 100, (u, 6)) for u in range(7)] == [50, 50, 75, 75, 100, 100, 100]
    # three rounds of 96 episodes, of which 280 are allowed: twenty rounds are never reached
    assert [horizon_at(stages, 100, (u, 20), (96 * u, 280)) for u in range(3)] == [50, 75, 100]
    with pytest.raises(UserError, match="ascending"):
        check_stages([1.0, 0.5])


@pytest.mark.parametrize("ppo", [False, True])
def test_a_world_whose_episodes_cannot_be_ended_is_refused_where_they_are_to_end(ppo: bool) -> None:
    group, session = GroupSettings(1, 4, 1, 0.0), make_session()
    given = (make_policy(), group, UpdateSettings(), FlowNoise(), 0)
    tuner = PpoTuner(*given, PpoSettings(episodes=4)) if ppo else GroupTuner(*given)
    session.world = cast(Any, Endless(cast(LineWorld, session.world)))
    with pytest.raises(UserError, match=r"'line' has no end.* set stop=null and stages=\[1\.0\]"):
        tuner.play(Playground(session), HorizonStop(5))
    assert session.tally.rollouts == 0
    assert len(tuner.play(Playground(session)).traces) == 4, "it is not asked to end any"
