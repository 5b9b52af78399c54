"""Episodes of a moving square, and tiny policies of LeRobot's real classes that fit them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from robo_reward.contract_tests import moving_square
from robo_reward.policies.vla.features import DataFacts
from robo_reward.policies.vla.recipe import PolicyRecipe
from robo_reward.policies.vla.training_data import facts_of_traces
from robo_reward.trace import Trace

sys.path.append(str(Path(__file__).parent))
from tiny_pi import DIT, PI, build_clip, shrink  # type: ignore[import-not-found]
from tiny_smolvlm import SETTINGS, build_vlm  # type: ignore[import-not-found]

VIEWS = ("front", "top")
NANO: dict[str, Any] = {"channels": 8, "keypoints": 8, "hidden_dim": 64, "image_size": 16, "chunk_size": 4}
ACT: dict[str, Any] = {
    "pretrained_backbone_weights": "random",
    "dim_model": 16,
    "n_heads": 2,
    "dim_feedforward": 32,
    "n_encoder_layers": 1,
    "n_vae_encoder_layers": 1,
    "latent_dim": 4,
    "chunk_size": 4,
    "n_action_steps": 2,
}
DIFFUSION: dict[str, Any] = {
    "pretrained_backbone_weights": "random",
    "down_dims": [16, 32],
    "horizon": 8,
    "n_action_steps": 3,
    "num_train_timesteps": 4,
    "use_group_norm": True,
}


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def episodes() -> list[Trace]:
    return [moving_square(k, 12, VIEWS, size=32) for k in range(3)]


@pytest.fixture(scope="session")
def facts(episodes: list[Trace]) -> DataFacts:
    return facts_of_traces(episodes, tuple)


@pytest.fixture(scope="session")
def settings_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """What makes LeRobot's policies tiny, by their name."""
    vlm, words = build_vlm(tmp_path_factory.mktemp("vlm")), tmp_path_factory.mktemp("words")
    clip = str(build_clip(tmp_path_factory.mktemp("clip")))
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch, words)
        yield {
            "nano_vla": {"n_action_steps": 2, **NANO},
            "act": ACT,
            "diffusion": DIFFUSION,
            "smolvla": {"vlm_model_name": str(vlm), **SETTINGS},
            "pi0": PI,
            "pi05": PI,
            "multi_task_dit": {"vision_encoder_name": clip, "text_encoder_name": clip, **DIT},
        }


@pytest.fixture(scope="session")
def recipes(settings_of: dict[str, dict[str, Any]]) -> dict[str, PolicyRecipe]:
    """Policies from scratch, by LeRobot's name."""
    return {name: PolicyRecipe(name, **settings) for name, settings in settings_of.items()}
