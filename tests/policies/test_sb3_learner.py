"""PPO and SAC behind the learner contract: deferred prices, budgets, resume, and that they learn at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from robo_reward.build import load_policy
from robo_reward.contract_tests import check_policy
from robo_reward.contracts import Budget, Policy
from robo_reward.errors import UserError
from robo_reward.line_world import LineReward, LineWorld
from robo_reward.policies.sb3_buffers import DeferredReplayBuffer, DeferredRolloutBuffer
from robo_reward.policies.sb3_learner import Sb3Learner
from robo_reward.policies.sb3_policy import Sb3Network, Sb3Policy, make_net
from robo_reward.reward_models.env_reward import EnvReward
from robo_reward.reward_models.transforms.gain import Gain
from robo_reward.reward_models.transforms.level import Level
from robo_reward.reward_models.transforms.min_form import MinForm
from robo_reward.reward_models.transforms.potential import Potential
from robo_reward.reward_stack import RewardStack
from robo_reward.rewarded_env import RewardedEnv
from robo_reward.runs.folder import RunFolder
from robo_reward.session import Session
from robo_reward.trace import Trace

SMALL: dict[str, Any] = {"layers": (16,), "n_steps": 20, "batch_size": 20, "n_epochs": 2}
SAC: dict[str, Any] = {
    "algorithm": "sac",
    "layers": (16,),
    "learning_starts": 20,
    "batch_size": 16,
    "activation": "relu",
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@contextmanager
def session(
    folder: Path, stack: RewardStack, *, steps: int | None = None, rollouts: int | None = None, **world: Any
) -> Iterator[Session]:
    with RunFolder.create("train", "line", {"seed": 0}, folder, resume=folder.exists(), tensorboard=False) as run:
        yield Session(LineWorld(**world), stack, [], Budget(rollouts, steps), run, seed=0)


def level(**reward: Any) -> RewardStack:
    return RewardStack(LineReward(**reward), [Level()])


def metrics(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if not k.startswith("timing/")} for row in rows]


class FirstBuffer(BaseCallback):
    """Keeps the rewards and advantages of the first iteration."""

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        buffer = self.locals["rollout_buffer"]
        self.found = buffer.rewards.copy(), buffer.advantages.copy()


def first_iteration(pricing: Any, transforms: list[Any], ends: list[tuple[int, bool]]) -> tuple[Any, Any]:
    env = RewardedEnv(LineWorld(2, ends=ends), RewardStack(LineReward(), transforms), 0, pricing=pricing)
    more: dict[str, Any] = {}
    if env.deferred:
        more = {
            "rollout_buffer_class": DeferredRolloutBuffer,
            "rollout_buffer_kwargs": {"take_priced": env.take_priced},
        }
    watch = FirstBuffer()
    PPO("MlpPolicy", env, n_steps=12, batch_size=24, seed=3, device="cpu", **more).learn(12, watch)
    return watch.found


@pytest.mark.parametrize("ends", [[(4, False)], [(6, True)], [(4, False), (4, True)]])
def test_deferred_and_per_step_prices_give_ppo_the_same_advantages(ends: list[tuple[int, bool]]) -> None:
    """Time-limit bootstraps included: rewards of truncated steps hold gamma * V(last state) either way."""
    transforms = lambda: [Level(), Gain(), Potential(gamma=0.99)]  # noqa: E731
    now, later = first_iteration("per_step", transforms(), ends), first_iteration("deferred", transforms(), ends)
    assert later[0] == pytest.approx(now[0], abs=1e-5)
    assert later[1] == pytest.approx(now[1], abs=1e-4)


@pytest.mark.parametrize(("transform", "goes_on"), [(MinForm(), False), (Level(), True)])
def test_nothing_is_bootstrapped_after_an_episode_that_is_priced_as_a_whole(transform: Any, goes_on: bool) -> None:
    """Else gamma=1 (PURE) lets the critic run away: every return would hold the next episode's value."""
    env = RewardedEnv(LineWorld(1, horizon=2), RewardStack(LineReward(), [transform]), 0, pricing="deferred")
    env.reset()
    env.step(np.zeros((1, 1)))
    *_, done, infos = env.step(np.zeros((1, 1)))
    assert done.all()
    assert infos[0]["TimeLimit.truncated"] is goes_on


def test_the_last_rollout_is_learned_from(tmp_path: Path) -> None:
    """SB3 drops what was collected if a callback ends it at its last step."""
    with session(tmp_path / "one", level(), steps=20) as run:
        Sb3Learner(**SMALL).learn(run)
        assert (run.tally.env_steps, run.tally.updates) == (20, SMALL["n_epochs"])
    with session(tmp_path / "three", level(), steps=60) as run:
        Sb3Learner(**SMALL).learn(run)
        assert (run.tally.env_steps, run.tally.updates) == (60, 3 * SMALL["n_epochs"])


def test_deferred_prices_refuse_what_they_cannot_price(tmp_path: Path) -> None:
    with (
        session(tmp_path / "a", level(episode=True), steps=100) as run,
        pytest.raises(UserError, match=r"n_steps=20 is no multiple .* 8 decisions.* set learner.n_steps=16"),
    ):
        run.world = LineWorld(horizon=8)
        Sb3Learner(**SMALL).learn(run)
    with (
        session(tmp_path / "b", level(episode=True), steps=100, ends=[(7, True)]) as run,
        pytest.raises(UserError, match="only 14 belong to one that is over"),
    ):
        Sb3Learner(**SMALL).learn(run)
    with (
        session(tmp_path / "c", level(episode=True), steps=100) as run,
        pytest.raises(UserError, match=r"learning_starts=5.*set it to 10"),
    ):
        Sb3Learner(**{**SAC, "learning_starts": 5}).learn(run)


def test_replay_releases_episodes_when_they_are_priced() -> None:
    priced: list[tuple[int, Trace]] = []

    def take() -> list[tuple[int, Trace]]:
        taken, priced[:] = priced[:], []
        return taken

    box = spaces.Box(-1, 1, (1,), np.float32)
    buffer = DeferredReplayBuffer(100, box, box, "cpu", 2, take_priced=take)

    def add(k: int, done: tuple[bool, bool], truncated: bool = False) -> None:
        x = np.asarray([[k], [10 + k]], np.float32)
        infos = [{"TimeLimit.truncated": truncated and d} for d in done]
        buffer.add(x, x + 1, x / 100, np.zeros(2), np.asarray(done), infos)

    add(0, (False, False))
    assert (buffer.pos, buffer.waiting) == (0, 2)
    episode = RewardStack(LineReward(), [Level()])
    world = RewardedEnv(LineWorld(1, horizon=2), episode, 0, pricing="deferred")
    world.reset()
    for _ in range(2):
        world.step(np.zeros((1, 1)))
    trace = world.take_priced()[0][1]
    paid = trace.reward
    priced.append((1, trace))
    add(1, (False, True), truncated=True)
    assert (buffer.pos, buffer.waiting) == (2, 2)
    assert buffer.observations[:2, 0, 0].tolist() == [10, 11]
    assert buffer.rewards[:2, 0] == pytest.approx(paid)
    assert (buffer.dones[:2, 0].tolist(), buffer.timeouts[:2, 0].tolist()) == ([0, 1], [0, 1])
    assert buffer.sample(8).rewards.min() > 0
    buffer.forget_waiting()
    assert buffer.waiting == 0


@pytest.mark.parametrize("settings", [SMALL, SAC])
def test_it_learns_to_go_right(tmp_path: Path, settings: dict[str, Any]) -> None:
    more = {"n_steps": 100, "batch_size": 50, "n_epochs": 10, "learning_rate": 3e-3} if settings is SMALL else {}
    steps = 4000 if settings is SMALL else 800
    with session(tmp_path / "run", RewardStack(EnvReward("reward"), []), steps=steps, oracle="reward") as run:
        if settings is SAC:
            more = {"learning_rate": 3e-3, "train_freq": 1, "gradient_steps": 1}
        policy = Sb3Learner(**{**settings, **more}).learn(run)
    world = LineWorld(8, horizon=10)
    observation = world.reset(5)
    for _ in range(9):
        world.step(policy.act(observation)[:, 0])
        observation = world.observe()
    assert observation.state[:, 0].mean() > 0.9


@pytest.mark.parametrize(("settings", "reward"), [(SMALL, {}), (SAC, {}), (SAC, {"episode": True})])
def test_books_are_kept(tmp_path: Path, settings: dict[str, Any], reward: dict[str, Any]) -> None:
    measured: list[int] = []
    ends = [(10, False)] if settings is SMALL or reward else [(7, True), (10, False)]
    with session(tmp_path / "run", level(**reward), steps=205, num_worlds=2, ends=ends) as run:
        run.evaluate = lambda policy, rollouts: measured.append(rollouts)
        Sb3Learner(**settings, checkpoint_every=60, remember=8).learn(run)
        tally = run.tally
        assert tally.env_steps == (200 if settings is SMALL else 204)
        assert tally.rollouts == len(run.outcomes) == run.world.sealed.mark()
        assert run.outcomes == sorted(run.outcomes)
        assert tally.updates > 0
        assert tally.pricing_seconds > 0
        assert len(run.played) == 8
        run.world.sealed.unseal()
        truths = [run.world.sealed.outcomes()[k] for k in run.outcomes][-8:]
        for (trace, kind, _, mean), truth in zip(run.played, truths, strict=True):
            assert (kind, len(trace)) == ("policy", truth.length)
            assert trace.reward is not None
            assert mean == pytest.approx(float(np.mean(trace.reward)))
            assert bool(trace.state[-1, 0] >= 0.9 - 1e-6) == truth.success
        assert len(measured) == 200 // (80 if settings is SMALL else 60)
    rows = metrics(tmp_path / "run")
    assert rows[-1]["rollout/env_steps"] == tally.env_steps
    assert any("rollout/reward" in row for row in rows)
    assert any("train/learning_rate" in row for row in rows)
    assert not any(key.startswith("time/") for row in rows for key in row)


@pytest.mark.parametrize(
    ("settings", "reward"), [(SMALL, {}), ({**SMALL, "desired_kl": 1e-5}, {}), (SAC, {}), (SAC, {"episode": True})]
)
def test_a_resumed_run_goes_the_way_of_the_unbroken_one(
    tmp_path: Path, settings: dict[str, Any], reward: dict[str, Any]
) -> None:
    class Stopped(Exception):
        pass

    def learn(folder: Path, stop_after: int | None) -> dict[str, torch.Tensor]:
        calls: list[int] = []

        def evaluate(policy: Policy, rollouts: int) -> None:
            calls.append(rollouts)
            if len(calls) == stop_after:
                raise Stopped

        with session(folder, level(**reward), steps=240, num_worlds=2) as run:
            run.evaluate = evaluate
            latest = run.run.latest_checkpoint()
            if latest is not None:
                run.restore(latest)
                assert run.tally.env_steps == 80
            policy = Sb3Learner(**settings, checkpoint_every=80).learn(run)
            assert run.tally.env_steps == 240
            return policy.net.state_dict()

    whole = learn(tmp_path / "whole", None)
    with pytest.raises(Stopped):
        learn(tmp_path / "broken", 2)
    resumed = learn(tmp_path / "broken", None)
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "broken")


def test_budgets(tmp_path: Path) -> None:
    with session(tmp_path / "a", level(), rollouts=5) as run:
        Sb3Learner(**SMALL).learn(run)
        assert (run.tally.rollouts, run.tally.env_steps) == (5, 50)
    small = [(SMALL, {"steps": 19}, "n_steps"), (SMALL, {"rollouts": 1}, "n_steps")]
    small += [(SAC, {"steps": 20}, "learning_starts"), (SAC, {"rollouts": 2}, "learning_starts")]
    for number, (settings, budget, lower) in enumerate(small):
        with (
            session(tmp_path / f"b{number}", level(), **budget) as run,
            pytest.raises(UserError, match=rf"no room for one update.*learner\.{lower} lower"),
        ):
            Sb3Learner(**settings).learn(run)
    with session(tmp_path / "c", level()) as run, pytest.raises(UserError, match="has no budget"):
        Sb3Learner(**SMALL).learn(run)


@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_policies_keep_to_the_contract(tmp_path: Path, algorithm: Any) -> None:
    network = Sb3Network(algorithm, (8, 8), "elu")
    space = spaces.Box(np.array([-2, 0], np.float32), np.array([-1, 3], np.float32), dtype=np.float32)
    states = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    check_policy(Sb3Policy(make_net(network, 3, space), network), load_policy, space, states, tmp_path)
