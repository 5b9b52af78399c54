"""A policy that resizes no pictures is refused in a world that shows others than it reads, before it is used."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from line_env import make_session  # type: ignore[import-not-found]
from omegaconf import OmegaConf

from robo_reward.errors import UserError
from robo_reward.explorers import RandomPolicy
from robo_reward.picture_sizes import picture_size
from robo_reward.policies.vla.features import DataFacts, Names, check_sizes
from robo_reward.policies.vla.sft import SftLearner
from robo_reward.policies.vla_learning.as_is import AsIsLearner
from robo_reward.rollout import rollout
from robo_reward.seeding import derive_rng
from robo_reward.session import Session


class Recipe:
    """Stands for a policy whose network takes pictures as they were recorded, 8x8."""

    path = "start"
    config = SimpleNamespace(
        type="act",
        input_features={},
        action_feature=None,
        image_features={"observation.images.front": SimpleNamespace(shape=(3, 8, 8))},
        observation_delta_indices=None,
        action_delta_indices=[0],
    )

    def settings(self) -> Any:
        return self.config

    def check_names(self, available: Any) -> None:
        """Nothing is renamed."""

    def views_of(self, available: Any) -> Any:
        return available

    def build(self, facts: DataFacts, *_: Any) -> Any:
        check_sizes(self.config, facts, Names())
        return SimpleNamespace(config=self.config, names=Names())


def session_of(size: tuple[int, int] | None) -> Session:
    session: Session = make_session(worlds=1)
    explorer = RandomPolicy(session.world.action_space, derive_rng(0, "explorer"))
    session.demonstrations = list(rollout(session.world, explorer, 1, 0, views=("front",)))
    session.picture_size = size
    return session


@pytest.mark.parametrize("learner", [SftLearner(), AsIsLearner()], ids=["sft", "as_is"])
def test_the_worlds_pictures_are_compared(learner: Any) -> None:
    learner.take_policy(Recipe())
    with pytest.raises(UserError, match=r"'front' of 'line' has 16x24: set env.height=8 env.width=8"):
        learner.learn(session_of((16, 24)))


def test_sizes_that_agree_or_that_nobody_knows_are_taken() -> None:
    learner = AsIsLearner()
    learner.take_policy(Recipe())
    for size in ((8, 8), None):
        assert learner.learn(session_of(size)) is not None


def test_the_size_is_the_env_groups() -> None:
    assert picture_size(OmegaConf.create({"height": 16, "width": 24})) == (16, 24)
    assert picture_size(OmegaConf.create({"height": 16})) is None
