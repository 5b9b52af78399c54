"""The config of a tiny nano_vla with one camera."""

from __future__ import annotations

from typing import Any

from lerobot.configs import FeatureType, PolicyFeature

from robo_reward.policies.nano_vla.configuration_nano_vla import NanoVlaConfig

SMALL: dict[str, Any] = {"channels": 8, "keypoints": 4, "hidden_dim": 32, "instruction_dim": 16, "image_size": 16}


def one_camera(state: int, actions: int, **more: Any) -> NanoVlaConfig:
    """One picture of 16x16, so many numbers of state and action, chunks of 2 by regression."""
    inputs = {"observation.images.top": PolicyFeature(FeatureType.VISUAL, (3, 16, 16))}
    inputs["observation.state"] = PolicyFeature(FeatureType.STATE, (state,))
    outputs = {"action": PolicyFeature(FeatureType.ACTION, (actions,))}
    whole = {**SMALL, "chunk_size": 2, "n_action_steps": 1, "head": "regression", "device": "cpu", **more}
    return NanoVlaConfig(input_features=inputs, output_features=outputs, **whole)
