"""Tiny random models through LeRobot's real classes, saved as LeRobot saves them."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.rewards import make_reward_pre_post_processors
from lerobot.rewards.classifier.configuration_classifier import RewardClassifierConfig
from lerobot.rewards.classifier.modeling_classifier import Classifier

STATS = {"observation.images.front": {"mean": torch.full((3, 1, 1), 0.4), "std": torch.full((3, 1, 1), 0.2)}}
SIZE = 48


def tiny_classifier(folder: Path, cnn: bool = False, classes: int = 2, size: int = SIZE) -> Path:
    """A reward classifier of one camera, ``front``, with the encoder beside it; returns its folder."""
    from transformers import ResNetConfig, ResNetModel, ViTConfig, ViTModel

    # by dict: type checkers do not see the fields that these configurations' decorator turns into parameters
    shape: dict[str, Any]
    torch.manual_seed(0)
    if cnn:
        shape = {"embedding_size": 8, "hidden_sizes": [8, 8, 8], "depths": [1, 1, 1], "layer_type": "basic"}
        encoder: Any = ResNetModel(ResNetConfig(**shape))
    else:
        shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        shape |= {"image_size": size, "patch_size": 16}
        encoder = ViTModel(ViTConfig(**shape))
    encoder.save_pretrained(folder / "encoder")
    config = RewardClassifierConfig(
        model_name=str(folder / "encoder"),
        model_type="cnn" if cnn else "transformer",
        num_cameras=1,
        num_classes=classes,
        hidden_dim=16,
        latent_dim=16,
        image_embedding_pooling_dim=2,
        input_features={"observation.images.front": PolicyFeature(FeatureType.VISUAL, (3, size, size))},
    )
    model = Classifier(config)
    before, _ = make_reward_pre_post_processors(config, dataset_stats=STATS)
    model.save_pretrained(folder / "model")
    before.save_pretrained(folder / "model")
    return folder / "model"


@cache
def standing_classifier() -> str:
    """The folder of one tiny classifier that all tests share."""
    return str(tiny_classifier(Path(tempfile.mkdtemp(prefix="tiny-classifier-"))))
