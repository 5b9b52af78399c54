"""The remote reward: equal prices in every mode, clients kept apart, and every way in which a server can fail."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robo_reward.contract_tests import (
    check_reset_isolation,
    check_steps_agree,
    moving_square,
    observe_frames,
    step_through,
)
from robo_reward.contracts import Estimate, LearnedRewardModel
from robo_reward.errors import UserError
from robo_reward.line_world import LineReward, LineWorld
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.progress_fit import FitSettings
from robo_reward.reward_models.remote import server as remote_server
from robo_reward.reward_models.remote.client import connect_remote
from robo_reward.reward_models.transforms.level import Level
from robo_reward.reward_stack import RewardStack
from robo_reward.rewarded_env import RewardedEnv
from robo_reward.traits import Traits, traits_of

sys.path.append(str(Path(__file__).parent))
from reward_server import Slow, serving

ON = np.ones(1, bool)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[str]:
    with serving(LineReward(), str(tmp_path / "s")) as (address, _):
        yield address


@pytest.fixture(scope="module")
def fitted() -> ProgressModel:
    torch.set_num_threads(1)
    model = ProgressModel(("front",), 1, "milestones", 2, refit_steps=3, fit=FitSettings(steps=8))
    model.fit([moving_square(0)], [moving_square(k, source="random") for k in (1, 2)], seed=0)
    return model


def same(one: Estimate, other: Estimate) -> None:
    for name in ("progress", "gain", "success", "uncertainty"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-5, err_msg=name)


# --- equal in every mode ----------------------------------------------------------------------------------------------


def rollout_rewards(model: Any, pricing: Any, stride: int) -> list[tuple[int, np.ndarray]]:
    """Rewards of the same recorded actions in three worlds whose episodes have length 6: (world, rewards (6,))."""
    env = RewardedEnv(LineWorld(3, 6), RewardStack(model, [Level("progress")]), seed=5, pricing=pricing)
    actions = np.random.default_rng(0).uniform(-0.3, 1, (12, 3, 1)).astype(np.float32)
    env.reset()
    stepped: list[list[float]] = [[], [], []]
    episodes = []
    for action in actions:
        env.step_async(action)
        _, rewards, done, _ = env.step_wait()
        for world in range(3):
            stepped[world].append(float(rewards[world]))
        if done.all() and not env.deferred:
            episodes += [(w, np.asarray(r, np.float32)) for w, r in enumerate(stepped)]
            stepped = [[], [], []]
    return episodes or [(w, t.reward) for w, t in env.take_priced() if t.reward is not None]


@pytest.mark.parametrize("stride", [1, 2])
def test_every_way_of_pricing_gives_the_same_rewards_on_one_rollout(tmp_path: Path, stride: int) -> None:
    """Per step, deferred, and both remote; with a stride where it is defined: at the steps that are looked at."""
    with serving(LineReward(stride), str(tmp_path / "s")) as (address, _):
        ways = {
            (where, pricing): rollout_rewards(make(), pricing, stride)
            for where, make in (("here", lambda: LineReward(stride)), ("remote", lambda: connect_remote(address)))
            for pricing in ("per_step", "deferred")
        }
    first = ways["here", "per_step"]
    assert len(first) == 6
    assert all(rewards.std() > 0.01 for _, rewards in first)
    for pricing in ("per_step", "deferred"):
        for (world, here), (other, there) in zip(ways["here", pricing], ways["remote", pricing], strict=True):
            assert world == other
            np.testing.assert_array_equal(here, there)
    looked = slice(stride - 1, None, stride)  # between its looks the one holds, the other interpolates
    for (world, held), (other, whole) in zip(first, ways["here", "deferred"], strict=True):
        assert world == other
        np.testing.assert_allclose(held[looked], whole[looked], atol=1e-6)
    if stride == 2:
        assert any(abs(a[1][0] - b[1][0]) > 1e-3 for a, b in zip(first, ways["here", "deferred"], strict=True))


def test_a_network_priced_remotely_says_what_it_says_here(fitted: ProgressModel, tmp_path: Path) -> None:
    seen = [moving_square(k, source="policy") for k in (20, 21)]
    with serving(fitted, str(tmp_path / "s")) as (address, _):
        remote = connect_remote(address)
        assert remote.needs == fitted.needs
        assert remote.frame_size == (48, 48)
        assert not isinstance(remote, LearnedRewardModel), "train must not fit what others use"
        for episode in seen:
            same(remote.estimate_episode(episode), fitted.estimate_episode(episode))
        for here, there in zip(step_through(fitted, seen), step_through(remote, seen), strict=True):
            same(here, there)
        check_steps_agree(remote, seen)
        check_reset_isolation(remote, *[moving_square(k, source="policy") for k in (30, 31, 32)])


def test_what_the_model_says_of_itself_holds_remotely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Judge(LineReward):
        knows_progress, reads_instructions, gives_match, threshold = False, True, False, 0.75

    with serving(Judge(), str(tmp_path / "s")) as (address, _):
        assert traits_of(connect_remote(address)) == traits_of(Judge())
    with serving(LineReward(), str(tmp_path / "p")) as (address, _):
        assert traits_of(connect_remote(address)) == Traits(gives_hops=False)
    told = remote_server._introduce(Judge())
    monkeypatch.setattr(remote_server, "_introduce", lambda model: {k: v for k, v in told.items() if k != "traits"})
    with serving(Judge(), str(tmp_path / "old")) as (address, _):  # a server of before tells gives_match alone
        assert traits_of(connect_remote(address)) == Traits(gives_match=False)


def test_tcp_works_as_a_unix_socket_does() -> None:
    with serving(LineReward(), "tcp:127.0.0.1:0") as (address, _):
        assert not address.endswith(":0")
        same(
            connect_remote(address).estimate_episode(moving_square(3)), LineReward().estimate_episode(moving_square(3))
        )


# --- several clients --------------------------------------------------------------------------------------------------


def test_clients_step_episodes_side_by_side_without_meeting(fitted: ProgressModel, tmp_path: Path) -> None:
    one, two = [moving_square(1)], [moving_square(k, source="policy") for k in (2, 3)]
    alone = step_through(fitted, one), step_through(fitted, two)
    with serving(fitted, str(tmp_path / "s")) as (address, server):
        clients = connect_remote(address), connect_remote(address)
        seen: list[list[Estimate]] = [[], []]
        threads = [
            threading.Thread(target=lambda k=k, e=e: seen[k].extend(step_through(clients[k], e)))
            for k, e in enumerate((one, two))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert server.served.clients == 2
        assert server.served.requests == 2 * 17
    for expected, got in zip(alone, seen, strict=True):
        for a, b in zip(expected, got, strict=True):
            same(a, b)


def test_a_full_queue_makes_further_clients_wait_and_then_tells_them(tmp_path: Path) -> None:
    model = Slow()
    with serving(model, str(tmp_path / "s"), queue=1, timeout=0.3) as (address, server):
        first, second = connect_remote(address), connect_remote(address)
        answers: list[Estimate] = []
        work = threading.Thread(target=lambda: answers.append(first.estimate_episode(moving_square(1))))
        work.start()
        assert model.started.wait(10)
        with pytest.raises(UserError, match=r"refuses: the reward server is busy: 1 requests are waiting"):
            second.estimate_episode(moving_square(2))
        model.go_on.set()
        work.join(10)
        assert len(answers) == 1
        second.estimate_episode(moving_square(2))  # the connection is still good
        assert server.served.refused == 1
        assert (first.parse_failures, second.parse_failures) == (2, 2), "each client counts its own"


def test_a_client_with_large_pictures_and_the_servers_own_timeout_hears_that_it_is_busy(tmp_path: Path) -> None:
    model, large = Slow(), moving_square(2)
    large = replace(large, frames={"front": np.zeros((len(large.frame_steps), 400, 400, 3), np.uint8)})  # 8 MB
    with serving(model, str(tmp_path / "s"), queue=1, timeout=2.0) as (address, _):
        first, second = connect_remote(address), connect_remote(address, timeout=2.0)
        work = threading.Thread(target=lambda: first.estimate_episode(moving_square(1)))
        work.start()
        assert model.started.wait(10)
        with pytest.raises(UserError, match=r"refuses: the reward server is busy: .*waited 1 s"):
            second.estimate_episode(large)
        with pytest.raises(UserError, match=r"busy: .*waited 0\.5 s"):  # who has yet to say hello hears it too
            connect_remote(address, timeout=1.0)
        model.go_on.set()
        work.join(10)
        assert len(second.estimate_episode(large).progress) == 17, "the connection is still good"
    for told in (None, True, "soon", 0, -1, float("inf"), float("nan")):
        assert remote_server._patience(told, 3.0) == 3.0, "what makes no sense was not said"


def test_a_model_that_cannot_be_copied_still_prices_episodes(tmp_path: Path) -> None:
    model = Slow()  # its events hold locks
    model.go_on.set()
    with serving(model, str(tmp_path / "s")) as (address, _):
        remote = connect_remote(address)
        assert len(remote.estimate_episode(moving_square(1)).progress) == 17
        with pytest.raises(UserError, match=r"Slow cannot be stepped by clients .*pricing=deferred"):
            remote.begin(observe_frames([(moving_square(1), 0)]), ON)
