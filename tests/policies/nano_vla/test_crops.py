"""Crops of pictures that there are not, or that would silently not be made, are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import hydra
import numpy as np
import pytest
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies import make_pre_post_processors
from omegaconf import OmegaConf

from robo_reward.contract_tests import moving_square
from robo_reward.errors import UserError
from robo_reward.policies.nano_vla.configuration_nano_vla import NanoVlaConfig
from robo_reward.policies.nano_vla.modeling_nano_vla import NanoVlaPolicy
from robo_reward.policies.vla.features import Names
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla.recipe import PolicyRecipe
from robo_reward.policies.vla.training_data import facts_of_traces

SMALL: dict[str, Any] = {"channels": 8, "keypoints": 8, "hidden_dim": 64, "instruction_dim": 16}
HALF = {"top": [0.0, 0.5, 0.0, 1.0]}


def config(crop: dict[str, list[float]], image_size: int = 16) -> NanoVlaConfig:
    """Of a policy that is shown pictures of 32x32."""
    inputs = {f"observation.images.{view}": PolicyFeature(FeatureType.VISUAL, (3, 32, 32)) for view in ("top", "wrist")}
    inputs["observation.state"] = PolicyFeature(FeatureType.STATE, (3,))
    outputs = {"action": PolicyFeature(FeatureType.ACTION, (2,))}
    sizes: dict[str, Any] = {**SMALL, "image_size": image_size, "device": "cpu"}
    return NanoVlaConfig(input_features=inputs, output_features=outputs, crop=crop, **sizes)


def test_a_crop_of_pictures_that_count_as_cropped_is_refused() -> None:
    with pytest.raises(UserError, match=r"crop\.top needs larger pictures: those of 32x32"):
        NanoVlaPolicy(config(HALF, image_size=32))  # they were read whole, and their points as if cropped


def test_a_crop_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="leaves nothing of pictures of 32x32"):
        NanoVlaPolicy(config({"top": [0.5, 0.51, 0.0, 1.0]}))


def test_a_world_whose_pictures_are_too_small_for_the_crop_is_refused() -> None:
    settings = config(HALF)
    processors = make_pre_post_processors(settings)
    bound = np.ones(2, np.float32)
    policy = LeRobotPolicy(NanoVlaPolicy(settings), *processors, Names(), -bound, bound)
    frames = {view: np.zeros((1, 16, 16, 3), np.uint8) for view in ("top", "wrist")}
    with pytest.raises(UserError, match=r"crop\.top needs larger pictures: those of 16x16"):
        policy.raw_batch(frames, np.zeros((1, 3), np.float32), ["open"])


def test_a_blind_policy_ignores_what_is_about_pictures() -> None:
    facts = facts_of_traces([moving_square(0, 6, ("front",), size=32)], lambda _: ())
    about: dict[str, Any] = {"crop": {"front": [0.0, 0.5, 0.0, 1.0]}, "shift": {"front": 2}}
    recipe = PolicyRecipe("nano_vla", blind=True, **SMALL, **about)
    assert recipe.views_of(["front"]) == ()
    assert len(recipe.build(facts).policy.cameras) == 0
    NanoVlaPolicy(replace(config(HALF, image_size=32), blind=True))


def test_a_crop_of_a_camera_that_there_is_not_is_refused() -> None:
    with pytest.raises(UserError, match="camera 'side'"):
        NanoVlaPolicy(config({"side": [0.0, 1.0, 0.0, 1.0]}))


@pytest.mark.parametrize(
    ("words", "crop"),
    [
        ((), {"image": [0.25, 0.8125, 0.125, 0.9375]}),
        (("env.suite=libero_goal",), {"image": [0.25, 0.90625, 0.0, 1.0]}),
        (("+policy.crop.image2=[0,1,0,1]",), {"image": [0.25, 0.8125, 0.125, 0.9375], "image2": [0, 1, 0, 1]}),
        (("env.suite=mine",), {}),
    ],
)
@pytest.mark.parametrize("experiment", ["libero_sft", "libero_nano"])
def test_the_experiments_crop_what_a_suite_works_in(experiment: str, words: tuple[str, ...], crop: Any) -> None:
    with hydra.initialize_config_module("robo_reward.configs", version_base="1.3"):
        config = hydra.compose("train", [f"experiment={experiment}", *words])
    settings = PolicyRecipe("nano_vla", crop=OmegaConf.to_container(config.policy.crop, resolve=True)).settings()
    assert {view: list(shares) for view, shares in settings.crop.items()} == crop
