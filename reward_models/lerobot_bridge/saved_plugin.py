"""Any saved robo-reward model as a reward model of LeRobot's: ``--reward_model.type=robo_reward``, for inference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.configs.rewards import RewardModelConfig
from lerobot.processor import DeviceProcessorStep, PolicyProcessorPipeline
from lerobot.rewards.pretrained import PreTrainedRewardModel
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch import Tensor

from robo_reward.build import MODEL_YAML, load_reward_model, save_reward_model
from robo_reward.contracts import Estimate, Observation
from robo_reward.errors import UserError, unknown_name
from robo_reward.trace import Trace

VIEW_PREFIX = "observation.images."
OUTPUTS = ("progress", "success")


@RewardModelConfig.register_subclass("robo_reward")
@dataclass
class RoboRewardConfig(RewardModelConfig):  # type: ignore[misc]  # LeRobot has no types
    """``folder``: what ``robo-reward fit`` saved; ``reward_output``: ``progress`` or ``success``, both in [0, 1]."""

    folder: str | None = None
    reward_output: str = "progress"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reward_output not in OUTPUTS:
            raise unknown_name("reward_output", self.reward_output, OUTPUTS)


class RoboRewardRewardModel(PreTrainedRewardModel):  # type: ignore[misc]
    """Prices LeRobot's batches with a saved model. Models are trained by ``robo-reward fit`` (or type ``progress``)."""

    config_class: Any = RoboRewardConfig
    name: Any = "robo_reward"

    def __init__(self, config: RoboRewardConfig, **_: Any) -> None:
        super().__init__(config)
        if config.folder is None:
            raise UserError("--reward_model.type=robo_reward needs --reward_model.folder=FOLDER of a fitted model")
        self.model = load_reward_model(Path(config.folder))

    @torch.no_grad()
    def compute_reward(self, batch: dict[str, Any]) -> Tensor:
        """(B,): of single frames (B, C, H, W) each as an episode's first; of clips (B, T, C, H, W) at their ends."""
        views = {view: _pictures(batch, view) for view in self.model.needs.views}
        state = batch["observation.state"].float().cpu().numpy()
        texts = batch["task"]
        clip = next(iter(views.values())).ndim == 5 if views else state.ndim == 3
        tasks = (texts,) * len(state) if isinstance(texts, str) else tuple(texts)
        if clip:
            values = np.asarray([self._end(views, state, tasks, row) for row in range(len(state))], np.float32)
        elif self.model.needs.episode:
            raise UserError("this reward model prices whole episodes: give clips (B, T, C, H, W), not single frames")
        else:
            values = self._value(self.model.begin(Observation(views, state, tasks), np.ones(len(state), bool)))
        return torch.as_tensor(values, device=self.config.device)

    def _end(
        self, views: dict[str, NDArray[np.uint8]], state: NDArray[np.float32], tasks: tuple[str, ...], row: int
    ) -> float:
        count = state.shape[1]
        trace = Trace(
            task=tasks[row],
            state=state[row],
            action=np.zeros((count - 1, 1), np.float32),
            frames={view: shown[row] for view, shown in views.items()},
            frame_steps=np.arange(count),
            fps=1.0,
            source="dataset",
        )
        return float(self._value(self.model.estimate_episode(trace))[-1])

    def _value(self, estimate: Estimate) -> NDArray[np.float32]:
        return estimate.progress if self.config.reward_output == "progress" else estimate.success

    def _save_pretrained(self, save_directory: Path) -> None:
        """``config.json`` and the whole robo-reward model beside it."""
        self.config._save_pretrained(save_directory)
        save_reward_model(self.model, OmegaConf.create({"path": self.config.folder}), Path(save_directory))

    @classmethod
    def from_pretrained(
        cls, pretrained_name_or_path: str | Path, *, config: RoboRewardConfig | None = None, **_: Any
    ) -> RoboRewardRewardModel:
        """From a folder that ``save_pretrained`` wrote."""
        folder = Path(pretrained_name_or_path)
        chosen: Any = config or RewardModelConfig.from_pretrained(folder)
        if (folder / MODEL_YAML).exists():
            chosen.folder = str(folder)
        model: RoboRewardRewardModel = cls(chosen).eval()
        return model


def make_robo_reward_pre_post_processors(
    config: RoboRewardConfig, dataset_stats: Any = None
) -> tuple[PolicyProcessorPipeline, PolicyProcessorPipeline]:
    """None are needed but for the device: the model normalises by itself."""
    before = PolicyProcessorPipeline(steps=[DeviceProcessorStep(device="cpu")], name="policy_preprocessor")
    after = PolicyProcessorPipeline(steps=[DeviceProcessorStep(device="cpu")], name="policy_postprocessor")
    return before, after


def _pictures(batch: dict[str, Any], view: str) -> NDArray[np.uint8]:
    """(B, [T,] C, H, W) in [0, 1] or uint8 -> (B, [T,] H, W, C) uint8."""
    if VIEW_PREFIX + view not in batch:
        there = sorted(key.removeprefix(VIEW_PREFIX) for key in batch if key.startswith(VIEW_PREFIX))
        raise unknown_name("view of the batch", view, there)
    shown = batch[VIEW_PREFIX + view].detach().cpu()
    if shown.is_floating_point():
        if not torch.isfinite(shown).all():
            raise UserError(f"the pictures of view '{view}' hold values that are not finite")
        shown = (shown * 255).round().clamp(0, 255)
    pictures: NDArray[np.uint8] = shown.to(torch.uint8).movedim(-3, -1).numpy()
    return pictures
