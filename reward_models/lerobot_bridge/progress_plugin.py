"""``progress`` as a reward model of LeRobot's own: ``lerobot-train --reward_model.type=progress`` trains it.

What a checkpoint's ``pretrained_model`` folder holds is a LeRobot reward model and a robo-reward one at once: LeRobot
reads ``config.json`` and ``model.safetensors``, robo-reward reads ``model.yaml`` beside them (``reward_model.path=``).
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lerobot.configs.rewards import RewardModelConfig
from lerobot.optim import AdamWConfig
from lerobot.processor import DeviceProcessorStep, PolicyProcessorPipeline
from lerobot.rewards.pretrained import PreTrainedRewardModel
from torch import Tensor

from robo_reward.errors import UserError
from robo_reward.reward_models.image_encoder import augment
from robo_reward.reward_models.lerobot_bridge.chosen_episodes import chosen_episodes, demonstrated
from robo_reward.reward_models.lerobot_bridge.frame_labels import FrameLabels
from robo_reward.reward_models.lerobot_bridge.remembering import save_for_robo_reward
from robo_reward.reward_models.progress_fit import FitSettings, batch_loss
from robo_reward.reward_models.progress_net import ProgressNet, make_encoder

VIEW_PREFIX = "observation.images."


@RewardModelConfig.register_subclass("progress")
@dataclass
class ProgressConfig(RewardModelConfig):  # type: ignore[misc]  # LeRobot has no types
    """Settings of robo-reward's progress model.

    ``views``: camera names without ``observation.images.``; empty: all of the dataset. ``references``: demonstrations
    at most that a saved model remembers (success detector, goal). ``height``, ``width``, ``states`` are the dataset's.
    """

    views: list[str] = field(default_factory=list)
    encoder: str = "conv"
    head: str = "both"
    members: int = 3
    stride: int = 3
    settle: int = 3
    references: int = 10
    shift: int = 4
    brightness: float = 0.1
    hop_weight: float = 0.5
    success_weight: float = 1.0
    mismatch: float = 0.2
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    height: int = 0
    width: int = 0
    states: int = 0

    def get_optimizer_preset(self) -> AdamWConfig:
        """AdamW, as ``robo-reward fit`` uses it."""
        return AdamWConfig(lr=self.learning_rate, weight_decay=self.weight_decay, grad_clip_norm=10.0)

    def settings(self) -> FitSettings:
        """The weights of the losses."""
        return FitSettings(shift=self.shift, hop_weight=self.hop_weight, success_weight=self.success_weight)


class ProgressRewardModel(PreTrainedRewardModel):  # type: ignore[misc]
    """A ``ProgressNet`` under LeRobot's trainer. The reward is absolute progress, (B,) in [0, 1].

    ``dataset_meta``: LeRobot's metadata of the dataset to train on, None for inference. UserError, before anything is
    trained, where an episode of those that LeRobot chose is no demonstration.
    """

    config_class: Any = ProgressConfig
    name: Any = "progress"

    def __init__(self, config: ProgressConfig, dataset_stats: Any = None, dataset_meta: Any = None) -> None:
        super().__init__(config)
        self.meta = dataset_meta
        self.labels: FrameLabels | None = None
        self.trained: list[dict[str, Any]] = []
        if dataset_meta is not None:
            _describe(config, dataset_meta)
            episodes = demonstrated(dataset_meta, chosen_episodes(dataset_meta), config.stride)
            self.labels = FrameLabels.of(dataset_meta, [episode.trace.task for episode in episodes])
            self.trained = [episode.as_json() for episode in episodes]
        if not (config.states or config.height):
            raise UserError("reward_model.type=progress learns its sizes from a dataset: train it with --dataset.root")
        encoder = make_encoder(config.encoder, len(config.views), config.height, config.width, config.states)
        self.net = ProgressNet(encoder, config.members)

    def forward(self, batch: dict[str, Any]) -> tuple[Tensor, dict[str, float]]:
        """The loss on a batch of frames (B, ...) of LeRobot's loader, whose worth follows from their place in time.

        Raises:
            UserError: without a dataset, or where a frame lacks a camera.
        """
        if self.labels is None:
            raise UserError("training needs the dataset's episodes, and this model was built without a dataset")
        inputs = self._inputs(batch)
        if self.training and inputs.dim() == 4:
            inputs = augment(inputs.cpu(), self.config.shift, self.config.brightness).to(inputs.device)
        z = self.net.encoder(inputs)
        frames, partner = self.labels.label(batch, inputs, self.config.mismatch if self.training else 0.0)
        return batch_loss(self.net, torch.cat([z, z[partner]]), frames, len(z), self.config.settings())

    @torch.no_grad()
    def compute_reward(self, batch: dict[str, Any]) -> Tensor:
        """Progress (B,) in [0, 1] of frames (B, C, H, W) in [0, 1], or of states (B, S)."""
        inputs = self._inputs(batch)
        task = FrameLabels.tasks_of(batch, len(inputs)).to(inputs.device)
        reward: Tensor = self.net.progress(self.net.encoder(inputs), task).mean(0)
        return reward

    def _inputs(self, batch: dict[str, Any]) -> Tensor:
        """As ``stack_views``: (B, 3V, H, W) in [-0.5, 0.5]; or the states without views."""
        if not self.config.views:
            return _one_frame(batch["observation.state"].float(), 2)
        missing = [view for view in self.config.views if VIEW_PREFIX + view not in batch]
        if missing:
            there = sorted(key.removeprefix(VIEW_PREFIX) for key in batch if key.startswith(VIEW_PREFIX))
            raise UserError(f"the reward reads view(s) {missing}, the batch has {there}")
        frames = [_one_frame(batch[VIEW_PREFIX + view], 4) for view in self.config.views]
        shown = torch.cat(frames, 1)
        return (shown.float() / 255 if shown.dtype == torch.uint8 else shown) - 0.5

    def _save_pretrained(self, save_directory: Path) -> None:
        """LeRobot's files; and robo-reward's, where the dataset is at hand."""
        super()._save_pretrained(save_directory)
        if self.meta is not None:
            net = deepcopy(self.net).cpu().eval()
            save_for_robo_reward(net, self.config, self.meta, self.trained, Path(save_directory))


def make_progress_pre_post_processors(
    config: ProgressConfig, dataset_stats: Any = None
) -> tuple[PolicyProcessorPipeline, PolicyProcessorPipeline]:
    """Only the device: pictures are scaled in the model, states are normalised in its encoder."""
    before = PolicyProcessorPipeline(steps=[DeviceProcessorStep(device=config.device)], name="policy_preprocessor")
    after = PolicyProcessorPipeline(steps=[DeviceProcessorStep(device="cpu")], name="policy_postprocessor")
    return before, after


def _one_frame(values: Tensor, dims: int) -> Tensor:
    """LeRobot may add an axis of one instant, (B, 1, ...)."""
    return values.squeeze(1) if values.dim() == dims + 1 and values.shape[1] == 1 else values


def _describe(config: ProgressConfig, meta: Any) -> None:
    """Fills in what the dataset says: views and sizes."""
    cameras = [key.removeprefix(VIEW_PREFIX) for key in meta.camera_keys]
    if config.encoder == "state":
        config.views = []
    elif not config.views:
        config.views = cameras
    unknown = sorted(set(config.views) - set(cameras))
    if unknown:
        raise UserError(f"the dataset has no view {unknown}; it has {cameras or 'none'}: set --reward_model.views")
    if not config.views and config.encoder != "state":
        raise UserError("the dataset has no pictures: set --reward_model.encoder=state")
    sizes = {_height_width(meta.features[VIEW_PREFIX + view]) for view in config.views}
    if len(sizes) > 1:
        raise UserError(f"one reward model reads pictures of one size, got {sorted(sizes)}: name fewer views")
    config.height, config.width = sizes.pop() if sizes else (0, 0)
    config.states = int(meta.features["observation.state"]["shape"][0])


def _height_width(feature: dict[str, Any]) -> tuple[int, int]:
    shape = tuple(int(n) for n in feature["shape"])
    first = (feature.get("names") or ["height"])[0] in ("channels", "channel", "c")
    return (shape[1], shape[2]) if first else (shape[0], shape[1])
