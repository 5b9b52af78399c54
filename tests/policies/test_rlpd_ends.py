"""What an episode's end means in the replay buffer, a termination or a time limit; what the learner refuses at once."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from robo_reward.errors import UserError
from robo_reward.policies.episode_buffer import EpisodeBuffer
from robo_reward.policies.rlpd import RlpdLearner
from robo_reward.policies.rlpd_state import Played
from robo_reward.trace import Trace


def played(terminated: bool) -> Played:
    """Four steps; feature k is k, the reward of step k is 10 + k."""
    trace = Trace(
        "go", np.zeros((5, 1), np.float32), np.zeros((4, 1), np.float32), {}, np.arange(5), 10.0, "policy",
        terminated, not terminated,
    )  # fmt: skip
    features = np.arange(4, dtype=np.float32)[:, None]
    return Played(trace, "sample", 0.0, features, features.copy(), np.arange(10, 14, dtype=np.float32))


@pytest.mark.parametrize(("terminated", "steps"), [(True, [0, 1, 2, 3]), (False, [0, 1, 2])])
def test_the_step_that_ends_an_episode_is_learned_from(terminated: bool, steps: list[int]) -> None:
    learner, training = RlpdLearner(), SimpleNamespace(own=EpisodeBuffer(8, 1, 1), played=[])
    episode = played(terminated)
    learner._store(training, episode)  # type: ignore[arg-type]
    torch.manual_seed(0)
    batch = training.own.sample(200)
    assert sorted(set(batch.state[:, 0].tolist())) == steps
    assert torch.equal(batch.reward, batch.state[:, 0] + 10)
    assert torch.equal(batch.terminal, (batch.state[:, 0] == 3).float())

    def price(session: Any, trace: Trace) -> Any:
        return np.arange(20, 24, dtype=np.float32)

    learner._price = price  # type: ignore[method-assign]
    training.played.append(episode)
    learner._reprice(SimpleNamespace(demonstrations=[]), training)  # type: ignore[arg-type]
    batch = training.own.sample(200)
    assert torch.equal(batch.reward, batch.state[:, 0] + 20)


@pytest.mark.parametrize(("names", "told"), [(("nope",), "unknown prior 'nope'"), ((), "names no prior")])
def test_unknown_priors_are_refused_before_anything_is_stepped(names: tuple[str, ...], told: str) -> None:
    with pytest.raises(UserError, match=told):
        RlpdLearner(priors=names)
