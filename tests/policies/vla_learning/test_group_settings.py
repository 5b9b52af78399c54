"""What the settings of groups accept; what of a tuner follows from its seed, its checkpoint and its groups alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from line_env import CountedReward, make_policy, make_session  # type: ignore[import-not-found]

from robo_reward.errors import UserError
from robo_reward.playground import Playground
from robo_reward.policies.vla_learning.clipped_update import UpdateSettings
from robo_reward.policies.vla_learning.flow_sde import FlowNoise
from robo_reward.policies.vla_learning.group_advantages import EpisodePricer
from robo_reward.policies.vla_learning.group_tuning import GroupSettings, GroupTuner
from robo_reward.policies.vla_learning.likelihood import TokenLikelihood
from robo_reward.policies.vla_learning.outcome_critic import CriticSettings


def tuner(seed: int = 0, noise: Any = "sde", **group: Any) -> GroupTuner:
    settings = GroupSettings(**{"groups": 2, "size": 4, "most": 4, "min_spread": 0.01, **group})
    return GroupTuner(make_policy(), settings, UpdateSettings(lr=1e-3, batch=64), FlowNoise(noise), seed)


def test_a_critic_is_given_as_numbers() -> None:
    given: Any = {"folds": 3, "decay": 0.5}
    assert GroupSettings(critic=given).critic == CriticSettings(folds=3, decay=0.5)
    with pytest.raises(UserError, match=r"fold.*did you mean 'folds'"):
        GroupSettings(critic={"fold": 3})  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"group\.critic=4 must be null or settings"):
        GroupSettings(critic=4)  # type: ignore[arg-type]


def test_a_learned_noise_begins_as_the_seed_says() -> None:
    def head(seed: int) -> torch.Tensor:
        return next(iter(tuner(seed, "noise").likelihood.modules())).state_dict()["net.0.weight"]

    first = head(0)
    torch.randn(7)
    assert torch.equal(first, head(0))
    assert not torch.equal(first, head(1))


def test_each_episode_is_priced_once_however_often_more_groups_are_played() -> None:
    model = CountedReward()
    # no group differs so much, so that all are played for nothing, two by two
    kept, played = tuner(min_spread=1e3).gather(Playground(make_session(model=model)))
    assert (len(kept), len(played)) == (0, 4)
    assert model.parse_failures == 16


def test_drift_is_known_after_a_resume() -> None:
    one = tuner()
    one.round(Playground(make_session()))
    two = tuner()
    two.load(one.state())
    assert two.drift() == one.drift() > 0


def test_refusals_name_the_settings_as_they_are_written() -> None:
    with pytest.raises(UserError, match=r"group\.pays \(of learner=vla_ppo: ppo\.pays\) 'fnal'; did you mean 'final'"):
        EpisodePricer(make_session().stack, "fnal")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"group\.temperature=0 must be above 0"):
        TokenLikelihood(None, 0)
