"""Episodes that our own detector ends: terminated, sealed, counted, and never paid for being avoided."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from robo_reward.contracts import Flags, Floats, Needs, Observation, Transition
from robo_reward.errors import UserError
from robo_reward.line_world import GOAL, VIEW, LineReward, LineWorld
from robo_reward.reward_models.transforms.absorbing import Absorbing
from robo_reward.reward_models.transforms.gold import Gold
from robo_reward.reward_models.transforms.level import Level
from robo_reward.reward_models.transforms.potential import Potential
from robo_reward.reward_stack import RewardStack
from robo_reward.rewarded_env import RewardedEnv
from robo_reward.rollout import STOPPED, EndsEpisodes, rollout
from robo_reward.stopping import build_stopper
from robo_reward.trace import Trace


class StopAt:
    """Ends an episode as soon as its picture is as bright as ``bound``; remembers whose episodes it was told of."""

    needs = Needs(views=(VIEW,))

    def __init__(self, bound: float) -> None:
        self._bound = bound
        self.begun: list[list[bool]] = []

    def begin(self, first: Observation, fresh: Flags) -> None:
        self.begun.append(fresh.tolist())

    def stops(self, transition: Transition) -> Flags:
        return np.asarray(transition.after.views[VIEW].mean((1, 2, 3)) / 255 >= self._bound, bool)


class Listener:
    """Keeps the episodes that it hears of."""

    def __init__(self) -> None:
        self.episodes: list[Trace] = []

    def on_step(self, step: Any) -> Any:
        from robo_reward.contracts import Verdict

        return Verdict()

    def on_episode(self, trace: Trace) -> None:
        self.episodes.append(trace)

    def on_update(self, metrics: Any) -> None: ...


def right(worlds: int) -> Floats:
    return np.ones((worlds, 1), np.float32)


def shaped() -> RewardStack:
    return RewardStack(LineReward(), [Gold(0.5, 1, gamma=0.9), Potential(0.9)])


def test_a_stopped_episode_is_terminated_and_its_world_goes_on_alone() -> None:
    world, heard, stop = LineWorld(2, horizon=30), Listener(), StopAt(0.7)
    env: Any = RewardedEnv(world, shaped(), 0, (heard,), stopper=stop)
    before = env.reset().copy()
    while True:
        states, _, dones, infos = env.step(right(2))
        if dones.any():
            break
        before = states
    (i,) = np.flatnonzero(dones)
    assert infos[i][STOPPED]
    assert infos[i]["TimeLimit.truncated"] is False, "SB3 must not bootstrap it"
    assert infos[i]["terminal_observation"][0] == pytest.approx(before[i, 0] + 0.1, abs=1e-6)
    assert states[i, 1] == 0, "its next episode has begun"
    assert states[1 - i, 0] == pytest.approx(before[1 - i, 0] + 0.1, abs=1e-6), "the other's goes on"
    assert stop.begun[-1] == dones.tolist()
    (trace,) = heard.episodes
    assert (trace.terminated, trace.truncated) == (True, False)
    assert trace.meta["outcome"] == infos[i]["outcome"] == 0
    world.sealed.unseal()
    assert [o.length for o in world.sealed.outcomes()] == [len(trace)]


def test_verdicts_of_stopped_and_timed_out_episodes_keep_apart() -> None:
    """Every episode's verdict is its own: lengths and final positions in the log are those of the traces."""
    world, heard = LineWorld(3, ends=[(4, False), (6, False), (9, False)]), Listener()
    env = RewardedEnv(world, shaped(), 3, (heard,), stopper=StopAt(0.8))
    env.reset()
    for _ in range(40):
        env.step(right(3))
    world.sealed.unseal()
    log = world.sealed.outcomes()
    kinds = {STOPPED in trace.meta for trace in heard.episodes}
    assert kinds == {True, False}, "both ways of ending occurred"
    assert sorted(int(t.meta["outcome"]) for t in heard.episodes) == list(range(len(log)))
    for trace in heard.episodes:
        verdict = log[int(trace.meta["outcome"])]
        assert verdict.length == len(trace)
        assert verdict.success == (trace.state[-1, 0] >= np.float32(GOAL))


def test_a_stop_sets_the_last_potential_to_zero() -> None:
    """Phi(terminal) = 0 and the detector is silent below 0.9: the last reward is -Phi(before), by hand."""
    world, heard = LineWorld(horizon=30), Listener()
    env = RewardedEnv(world, shaped(), 0, (heard,), stopper=StopAt(0.7))
    env.reset()
    while not heard.episodes:
        env.step(right(1))
    (trace,) = heard.episodes
    assert trace.reward is not None
    assert trace.reward[-1] == pytest.approx(-np.round(255 * trace.state[-2, 0]) / 255, abs=1e-5)


def test_several_worlds_roll_out_with_one_stop_each() -> None:
    class Right:
        def act(self, observation: Observation) -> Any:
            return np.ones((len(observation.state), 1, 1), np.float32)

        def reset(self, fresh: Flags) -> None: ...

        def save(self, folder: Path) -> None: ...

    world = LineWorld(3, horizon=30)
    traces = list(rollout(world, Right(), 5, 0, stopper=StopAt(0.7)))
    world.sealed.unseal()
    log = world.sealed.outcomes()
    assert isinstance(world, EndsEpisodes)
    for trace in traces:
        assert trace.terminated
        assert log[int(trace.meta["outcome"])].length == len(trace)


def test_what_cannot_be_stopped_says_so() -> None:
    with pytest.raises(UserError, match="hook=none"):
        RewardedEnv(LineWorld(), shaped(), 0, pricing="deferred", stopper=StopAt(0.7))

    class Endless(LineWorld):
        end = None  # type: ignore[assignment]

    with pytest.raises(UserError, match="no method end"):
        RewardedEnv(Endless(), shaped(), 0, stopper=StopAt(0.7))


def test_a_level_reward_would_pay_for_avoiding_the_stop() -> None:
    hook = OmegaConf.create({"hook": {"_target_": "robo_reward.line_world.LineReward"}})
    with pytest.raises(UserError, match="transform Level pays at every step"):
        build_stopper(hook, RewardStack(LineReward(), [Level()]))
    with pytest.raises(UserError, match="transform Gold pays at every step"):
        build_stopper(hook, RewardStack(LineReward(), [Gold(), Potential()]))
    assert build_stopper(hook, RewardStack(LineReward(), [Level(), Absorbing(0.9)])) is not None
    assert build_stopper(hook, shaped()) is not None
    assert build_stopper(OmegaConf.create({"hook": {"_target_": None}}), RewardStack(LineReward(), [Level()])) is None
    assert build_stopper(OmegaConf.create({}), RewardStack(LineReward(), [Level()])) is None
