"""What happens to a raw batch before nano_vla sees it, and to its actions afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from lerobot.configs import FeatureType, PipelineFeatureType, PolicyFeature
from lerobot.lerobot_types import TransitionKey
from lerobot.processor import ObservationProcessorStep
from lerobot.processor.factory import make_default_policy_processor_steps, make_policy_processor_pipelines
from lerobot.utils.constants import ACTION, OBS_LANGUAGE_TOKENS, OBS_STATE

from robo_reward.errors import UserError
from robo_reward.policies.nano_vla.configuration_nano_vla import NanoVlaConfig
from robo_reward.policies.nano_vla.language import byte_tokens
from robo_reward.policies.nano_vla.locator import HAND

Stats = Mapping[str, Mapping[str, Any]]

STILL = 0.02
"""Of the median deviation: a joint that rested in every demonstration would else shout at the first encoder tick."""


@dataclass
class InstructionBytes(ObservationProcessorStep):  # type: ignore[misc]
    """Adds the instruction's bytes (B, ``length``) int64 to the observation.

    It is saved by its class's name, not through LeRobot's registry, so that checkpoints load wherever this package is.
    """

    length: int = 128

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """The observation with ``observation.language.tokens``. UserError without an instruction."""
        task = (self.transition.get(TransitionKey.COMPLEMENTARY_DATA) or {}).get("task")
        if task is None:
            raise UserError(
                "nano_vla reads an instruction: the batch needs the key 'task' (lerobot-rollout: --task=...)"
            )
        return {**observation, OBS_LANGUAGE_TOKENS: byte_tokens([task] if isinstance(task, str) else task, self.length)}

    def get_config(self) -> dict[str, Any]:
        """What a saved pipeline says of this step."""
        return {"length": self.length}

    def transform_features(
        self, features: dict[PipelineFeatureType, dict[str, PolicyFeature]]
    ) -> dict[PipelineFeatureType, dict[str, PolicyFeature]]:
        """The tokens beside what there is."""
        tokens = PolicyFeature(type=FeatureType.LANGUAGE, shape=(self.length,))
        features[PipelineFeatureType.OBSERVATION][OBS_LANGUAGE_TOKENS] = tokens
        return features


@dataclass
class HandPosition(ObservationProcessorStep):  # type: ignore[misc]
    """Adds the hand's position (B, 3), in the state's own unit, before the state is normalised.

    ``numbers``: which of the state it is. Saved by its class's name, as ``InstructionBytes``.
    """

    numbers: list[int] = field(default_factory=lambda: [0, 1, 2])

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """The observation with ``observation.hand``. UserError without a state."""
        if OBS_STATE not in observation:
            raise UserError(f"policy.hand={self.numbers} needs '{OBS_STATE}' in the batch: set policy.hand=[]")
        return {**observation, HAND: observation[OBS_STATE][..., self.numbers]}

    def get_config(self) -> dict[str, Any]:
        """What a saved pipeline says of this step."""
        return {"numbers": list(self.numbers)}

    def transform_features(
        self, features: dict[PipelineFeatureType, dict[str, PolicyFeature]]
    ) -> dict[PipelineFeatureType, dict[str, PolicyFeature]]:
        """The position beside what there is."""
        features[PipelineFeatureType.OBSERVATION][HAND] = PolicyFeature(type=FeatureType.STATE, shape=(3,))
        return features


def make_nano_vla_pre_post_processors(config: NanoVlaConfig, dataset_stats: Stats | None = None) -> tuple[Any, Any]:
    """Both pipelines; a standard deviation below the config's floors is raised to it."""
    floors = {OBS_STATE: config.state_std_floor, ACTION: config.action_std_floor}
    steps = make_default_policy_processor_steps(config, floored(dataset_stats, floors), normalizer_device=config.device)
    told: list[Any] = [InstructionBytes(config.instruction_bytes)]
    told += [HandPosition(list(config.hand))] if config.hand else []
    return make_policy_processor_pipelines(  # type: ignore[no-any-return]
        input_steps=[steps.rename_observations, steps.add_batch_dim, *told, steps.to_device, steps.normalize],
        output_steps=[steps.unnormalize, steps.to_cpu],
    )


def floored(stats: Stats | None, floors: Mapping[str, float]) -> dict[str, dict[str, Any]] | None:
    """The statistics, ``std`` of each key of ``floors`` at least that, and at least ``STILL`` of the key's median."""
    if stats is None:
        return None
    result = {key: dict(values) for key, values in stats.items()}
    for key, floor in floors.items():
        if "std" in result.get(key, {}):
            std = torch.as_tensor(result[key]["std"], dtype=torch.float32)
            result[key]["std"] = std.clamp(min=max(floor, STILL * float(std.median())))
    return result
