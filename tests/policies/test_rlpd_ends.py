"""What an episode's end means in the replay buffer, a termination or a time limit; what the learner refuses at once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from robo_reward.errors import UserError
from robo_reward.line_world import LineReward
from robo_reward.policies.anchored_policy import AnchoredPolicy
from robo_reward.policies.episode_buffer import EpisodeBuffer
from robo_reward.policies.rlpd import RlpdLearner
from robo_reward.policies.rlpd_state import Played
from robo_reward.policies.soft_actor_critic import SacSettings, SoftActorCritic
from robo_reward.reward_models.transforms.gated import OutcomeGate
from robo_reward.reward_models.transforms.level import Level
from robo_reward.reward_models.transforms.min_form import MinForm
from robo_reward.reward_stack import RewardStack
from robo_reward.trace import Trace


def played(terminated: bool) -> Played:
    """Four steps; feature k is k, the reward of step k is 10 + k."""
    trace = Trace(
        "go", np.zeros((5, 1), np.float32), np.zeros((4, 1), np.float32), {}, np.arange(5), 10.0, "policy",
        terminated, not terminated,
    )  # fmt: skip
    features = np.arange(4, dtype=np.float32)[:, None]
    return Played(trace, "sample", 0.0, features, features.copy(), np.arange(10, 14, dtype=np.float32))


@pytest.mark.parametrize(
    ("terminated", "whole", "steps"),
    [(True, False, [0, 1, 2, 3]), (False, False, [0, 1, 2]), (False, True, [0, 1, 2, 3])],
    ids=["terminated", "truncated", "truncated, priced as a whole"],
)
def test_the_step_that_ends_an_episode_is_learned_from(terminated: bool, whole: bool, steps: list[int]) -> None:
    learner, training = RlpdLearner(), SimpleNamespace(own=EpisodeBuffer(8, 1, 1), played=[])
    session: Any = SimpleNamespace(demonstrations=[], stack=SimpleNamespace(prices_ends=whole))
    episode = played(terminated)
    learner._store(session, training, episode)  # type: ignore[arg-type]
    torch.manual_seed(0)
    batch = training.own.sample(200)
    assert sorted(set(batch.state[:, 0].tolist())) == steps
    assert torch.equal(batch.reward, batch.state[:, 0] + 10)
    assert torch.equal(batch.terminal, (batch.state[:, 0] == 3).float())

    def price(session: Any, trace: Trace) -> Any:
        return np.arange(20, 24, dtype=np.float32)

    learner._price = price  # type: ignore[method-assign]
    training.played.append(episode)
    learner._reprice(session, training)  # type: ignore[arg-type]
    batch = training.own.sample(200)
    assert torch.equal(batch.reward, batch.state[:, 0] + 20)


@pytest.mark.parametrize(("transform", "whole"), [(OutcomeGate(), True), (MinForm(), True), (Level(), False)])
def test_a_chain_that_prices_whole_episodes_says_so(transform: Any, whole: bool) -> None:
    assert RewardStack(LineReward(), [Level(), transform]).prices_ends is whole


@pytest.mark.parametrize(("names", "told"), [(("nope",), "unknown prior 'nope'"), ((), "names no prior")])
def test_unknown_priors_are_refused_before_anything_is_stepped(names: tuple[str, ...], told: str) -> None:
    with pytest.raises(UserError, match=told):
        RlpdLearner(priors=names)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"batch": 0}, "batch=0 must be a whole number of 1 or more"),
        ({"refit_every": 0}, "refit_every=0 must be a whole number of 1 or more"),
        ({"updates_per_step": 0}, "updates_per_step=0 must be a whole number of 1 or more"),
        ({"trial": -1}, "trial=-1 must be a whole number of 0 or more"),
        ({"confidence": 1.5}, "confidence=1.5 must be a finite number of 0 or more and of 1 or less"),
        ({"scale": float("nan")}, "scale=nan must be a finite number"),
    ],
)
def test_numbers_out_of_range_are_refused(setting: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=f"^learner=rlpd: {told}"):
        RlpdLearner(**setting)


@pytest.mark.parametrize("setting", [{"gamma": 1.5}, {"learning_rate": 0.0}, {"target_rate": 0}, {"critics": 0}])
def test_numbers_of_sac_out_of_range_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=rf"^learner\.sac: {next(iter(setting))}="):
        SacSettings(**setting)


@pytest.mark.parametrize(("scale", "told"), [(0.4, 0.5), (0.1, 1.0), (0.0, 1.0)])
def test_what_a_correction_would_have_been(scale: float, told: float) -> None:
    agent = SoftActorCritic(3, 1, SacSettings(width=4), timid=True)
    policy = AnchoredPolicy(None, agent, scale, 0, np.random.default_rng(0))  # type: ignore[arg-type]
    acted = np.array([[0.2], [0.0], [-0.2]], np.float32)
    found = policy.correction(acted, np.zeros((3, 1), np.float32))
    assert np.allclose(found, [[told], [0.0], [-told]])
