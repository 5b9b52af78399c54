"""The VecEnv in which rewards are replaced: resets, time limits, deferred prices, sealed verdicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.vec_env import VecEnv

from robo_reward.contracts import Step, Verdict
from robo_reward.errors import UserError
from robo_reward.line_world import VIEW, LineReward, LineWorld
from robo_reward.reward_models.env_reward import EnvReward
from robo_reward.reward_models.transforms.level import Level
from robo_reward.reward_stack import RewardStack
from robo_reward.rewarded_env import RewardedEnv
from robo_reward.sealed_log import SealedError
from robo_reward.trace import Trace


class Listener:
    """Hears everything."""

    def __init__(self, stop: bool = False) -> None:
        self.episodes: list[Trace] = []
        self.steps = 0
        self.stop = stop

    def on_step(self, step: Step) -> Verdict:
        self.steps += 1
        return Verdict(self.stop)

    def on_episode(self, trace: Trace) -> None:
        self.episodes.append(trace)

    def on_update(self, metrics: Any) -> None: ...


def stack(**reward: Any) -> RewardStack:
    return RewardStack(LineReward(**reward), [Level()])


def actions(count: int, worlds: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, worlds, 1)).astype(np.float32)


def test_it_is_a_vec_env_and_warns_of_nothing(recwarn: pytest.WarningsRecorder) -> None:
    env = RewardedEnv(LineWorld(2), stack(), seed=0)
    assert isinstance(env, VecEnv)
    assert not recwarn.list
    assert env.reset().shape == (2, 2)


def test_time_limits_and_terminations_are_told_apart() -> None:
    env = RewardedEnv(LineWorld(2, ends=[(2, True), (3, False)]), stack(), seed=0)
    env.reset()
    seen = [env.step(a) for a in actions(3, 2)]
    ended = seen[1][3][0]
    assert seen[1][2].tolist() == [True, False]
    assert ended["TimeLimit.truncated"] is False
    assert ended["terminal_observation"][1] == pytest.approx(0.2)
    assert np.asarray(seen[1][0])[0, 1] == 0.0  # what is shown is the next episode's start
    assert seen[2][3][1]["TimeLimit.truncated"] is True


def test_finished_episodes_carry_their_rewards_and_verdicts() -> None:
    listener, world = Listener(), LineWorld(2, ends=[(2, True), (3, False)])
    env = RewardedEnv(world, stack(), 0, [listener], keep_views=(VIEW,))
    env.reset()
    paid = np.stack([env.step(a)[1] for a in actions(6, 2)])
    assert [len(t) for t in listener.episodes] == [2, 3, 3, 2]
    assert listener.episodes[0].reward == pytest.approx(paid[:2, 0])
    assert listener.episodes[1].reward == pytest.approx(paid[:3, 1])
    assert listener.episodes[1].frame_steps.tolist() == [0, 1, 2, 3]
    with pytest.raises(SealedError):
        world.sealed.outcomes()
    world.sealed.unseal()
    lengths = [world.sealed.outcomes()[int(t.meta["outcome"])].length for t in listener.episodes]
    assert lengths == [2, 3, 3, 2]


def test_deferred_prices_are_those_of_the_steps() -> None:
    now = RewardedEnv(LineWorld(2, ends=[(2, True), (3, False)]), stack(), 0)
    later = RewardedEnv(LineWorld(2, ends=[(2, True), (3, False)]), stack(), 0, pricing="deferred")
    assert np.array_equal(now.reset(), later.reset())
    paid = np.zeros((6, 2), np.float32)
    for k, a in enumerate(actions(6, 2)):
        paid[k] = now.step(a)[1]
        assert not later.step(a)[1].any()
    filled = [0, 0]
    for world, trace in later.take_priced():
        assert trace.reward == pytest.approx(paid[filled[world] : filled[world] + len(trace), world], abs=1e-6)
        filled[world] += len(trace)
    assert filled == [5, 5]
    assert later.take_priced() == []


def test_models_of_whole_episodes_are_deferred_by_themselves() -> None:
    assert RewardedEnv(LineWorld(), stack(episode=True), 0).deferred
    assert not RewardedEnv(LineWorld(), stack(), 0).deferred
    with pytest.raises(UserError, match="whole episodes only"):
        RewardedEnv(LineWorld(), stack(episode=True), 0, pricing="per_step")
    with pytest.raises(UserError, match="did you mean 'deferred'"):
        RewardedEnv(LineWorld(), stack(), 0, pricing="defered")  # type: ignore[arg-type]


def test_a_reset_drops_unfinished_episodes_and_counts_them() -> None:
    env = RewardedEnv(LineWorld(2, ends=[(1, False), (4, False)]), stack(), 0, pricing="deferred")
    env.reset()
    env.step(actions(1, 2)[0])
    assert env.in_progress == 1
    env.reset()
    assert (env.unfinished, env.in_progress, env.take_priced()) == (1, 0, [])


def test_seeds_tell_the_episodes() -> None:
    env = RewardedEnv(LineWorld(2), stack(), 0)
    first, second = env.reset(), env.reset()
    assert not np.array_equal(first, second)
    env.seed(0)
    assert np.array_equal(env.reset(), first)


def test_what_a_world_shows_cannot_be_changed_from_outside() -> None:
    env = RewardedEnv(LineWorld(2), RewardStack(EnvReward("reward"), []), 0)
    assert env.get_attr("horizon") == [10, 10]
    with pytest.raises(UserError, match="cannot be set"):
        env.set_attr("horizon", 3)


def test_hooks_may_not_end_episodes_here() -> None:
    env = RewardedEnv(LineWorld(1), stack(), 0, [Listener(stop=True)])
    env.reset()
    with pytest.raises(UserError, match="hook=success_stop"):
        env.step(actions(1, 1)[0])
