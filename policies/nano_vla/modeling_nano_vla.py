"""nano_vla itself: cameras, proprioception and instruction in, an action chunk out."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import torch
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.utils.constants import ACTION, OBS_LANGUAGE_TOKENS, OBS_STATE
from torch import Tensor, nn

from robo_reward.errors import UserError
from robo_reward.policies.nano_vla.configuration_nano_vla import VIEW_PREFIX, NanoVlaConfig
from robo_reward.policies.nano_vla.heads import FlowHead, RegressionHead, TokenHead
from robo_reward.policies.nano_vla.language import InstructionEncoder
from robo_reward.policies.nano_vla.locator import Locator, told, weighed
from robo_reward.policies.nano_vla.vision import CameraEncoder, augment, shrink


class NanoVlaPolicy(PreTrainedPolicy):  # type: ignore[misc]
    """A vision-language-action policy of a million parameters, through LeRobot's interface.

    Batches hold pictures (B, 3, H, W), uint8 or float in [0, 1], normalised ``observation.state`` (B, S), byte tokens
    of the instruction and, in training, the normalised ``action`` (B, K, A): what its processors make of a raw batch.
    Learners that go on from here use ``encode`` once per observation, then ``velocity`` (flow) or ``head`` (tokens).
    """

    config_class = NanoVlaConfig  # pyright: ignore[reportAssignmentType]
    name = "nano_vla"  # pyright: ignore[reportAssignmentType]

    def __init__(self, config: NanoVlaConfig, **_: Any) -> None:
        super().__init__(config)
        config.validate_features()
        self.config: NanoVlaConfig = config
        words, hidden = config.instruction_dim, config.hidden_dim
        encoders = [CameraEncoder(config.image_size, config.channels, config.keypoints, words) for _ in config.cameras]
        self.cameras = nn.ModuleList(encoders)
        self.instruction = InstructionEncoder(words)
        state = config.robot_state_feature
        self.proprioception = _proprioception(state.shape[0]) if state is not None else None
        seen = sum(encoder.size for encoder in encoders)
        size = seen + words + (64 + state.shape[0] if state is not None else 0)
        self.locator = _locator(config, size)
        size += 0 if self.locator is None else self.locator.size
        self.trunk = nn.Sequential(
            nn.Linear(size, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.head = _head(config)
        self.reset()

    # --- what LeRobot asks for ---------------------------------------------------------------------------------------

    def get_optim_params(self) -> Any:
        """All parameters."""
        return self.parameters()

    def reset(self) -> None:
        """Forgets the chunk that is being executed."""
        self._queue: deque[Tensor] = deque(maxlen=self.config.n_action_steps)

    def forward(self, batch: Mapping[str, Any], reduction: str = "mean") -> tuple[Tensor, dict[str, float]]:
        """The training loss, a scalar, or (B,) with ``reduction="none"``; actions behind an episode's end count not."""
        embedding, located = self._look(batch)
        with torch.autocast(embedding.device.type, enabled=False):
            # LeRobot's loader drops an action's axis where it has one number
            chunk = batch[ACTION].float().reshape(len(embedding), *self.head.shape)
            error = self.head.loss(embedding.float(), chunk)
        padded = batch.get("action_is_pad")
        kept = torch.ones_like(error[..., 0]) if padded is None else (~padded).to(error.dtype)
        per_sample = (error.mean(-1) * kept).sum(1) / kept.sum(1).clamp(min=1)
        loss = per_sample if reduction == "none" else (error.mean(-1) * kept).sum() / kept.sum().clamp(min=1)
        said = {f"{self.config.head}_loss": float(per_sample.detach().mean())}
        if self.locator is None or located is None:
            return loss, said
        off = self.locator.losses(located, batch)
        more = weighed(off, {"waypoint": self.config.waypoint_weight, "places": self.config.places_weight})
        return loss + (more if reduction == "none" or isinstance(more, float) else more.mean()), {**said, **told(off)}

    @torch.no_grad()
    def predict_action_chunk(self, batch: Mapping[str, Any], noise: Tensor | None = None, **_: Any) -> Tensor:
        """A normalised chunk (B, K, A); the flow starts from ``noise`` (B, K, A), drawn where it is None."""
        self.eval()
        return self.decode(self.encode(batch).float(), noise)

    @torch.no_grad()
    def select_action(self, batch: Mapping[str, Any], noise: Tensor | None = None, **_: Any) -> Tensor:
        """The next normalised action (B, A); a new chunk is predicted when the last one is used up."""
        if not self._queue:
            chunk = self.predict_action_chunk(batch, noise)[:, : self.config.n_action_steps]
            self._queue.extend(chunk.transpose(0, 1))
        return self._queue.popleft()

    def _get_default_peft_targets(self) -> dict[str, Any]:
        inner = r"trunk\.[03]|proprioception\.[02]|instruction\.out\.1"
        return {"target_modules": rf"{inner}|head\.(noisy|context|out|net\.[02]|blocks\.\d\.[13])"}

    # --- what learners build on --------------------------------------------------------------------------------------

    def encode(self, batch: Mapping[str, Any]) -> Tensor:
        """The observations' embedding (B, hidden); pictures are augmented in training mode."""
        return self._look(batch)[0]

    def _look(self, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor | None]:
        """The embedding, and what the locator tells (B, L), None without auxiliary losses."""
        words = self.instruction(batch[OBS_LANGUAGE_TOKENS])
        parts = [camera(self._picture(batch, key), words) for key, camera in zip(self._seen, self.cameras, strict=True)]
        if self.proprioception is not None:
            # as it is too: what is missing to a place is a difference, which a ReLU's features only approach
            parts += [self.proprioception(batch[OBS_STATE]), batch[OBS_STATE]]
        features = torch.cat([part.float() for part in (*parts, words)], -1)
        located = None if self.locator is None else self.locator(features)
        embedding: Tensor = self.trunk(features if located is None else torch.cat([features, located], -1))
        return embedding, located

    def velocity(self, observation_embedding: Tensor, noisy_chunk: Tensor, t: Tensor) -> Tensor:
        """The flow's velocity (B, K, A) at ``noisy_chunk`` (B, K, A) and time t (B,): 1 is noise, 0 the action.

        Raises:
            UserError: the policy has another head.
        """
        if not isinstance(self.head, FlowHead):
            raise UserError(f"policy.head={self.config.head} has no velocity: train with policy.head=flow")
        return self.head.velocity(observation_embedding, noisy_chunk, t)

    def decode(self, observation_embedding: Tensor, noise: Tensor | None = None) -> Tensor:
        """A normalised chunk (B, K, A) from the embedding (B, hidden), without randomness if ``noise`` is given."""
        if isinstance(self.head, FlowHead):
            return self.head.sample(observation_embedding, noise, self.config.num_steps)
        if isinstance(self.head, TokenHead):
            return self.head.values(self.head.draw(observation_embedding))
        return self.head.chunk(observation_embedding)

    def shrink_picture(self, key: str, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) of ``observation.images.<camera>`` cropped and small, as the network reads them."""
        return shrink(pictures, self.config.image_size, self.config.crop.get(key.removeprefix(VIEW_PREFIX)))

    @property
    def _seen(self) -> list[str]:
        return self.config.cameras

    def _picture(self, batch: Mapping[str, Any], key: str) -> Tensor:
        pictures = self.shrink_picture(key, batch[key])
        pictures = (pictures.float() / 255 if pictures.dtype == torch.uint8 else pictures) - 0.5
        if torch.is_autocast_enabled(pictures.device.type):
            pictures = pictures.to(torch.get_autocast_dtype(pictures.device.type))
        if not self.training:
            return pictures
        shift = self.config.shift.get(key.removeprefix(VIEW_PREFIX), 0)
        return augment(pictures, self.config.brightness, self.config.colour, shift)


def _locator(config: NanoVlaConfig, features: int) -> Locator | None:
    """What the auxiliary losses need; None where there are none, or nothing is seen."""
    state = config.robot_state_feature
    waypoint = state.shape[0] if config.waypoint_weight > 0 and state is not None else 0
    places = config.places_size if config.places_weight > 0 else 0
    return Locator(features, config.hidden_dim, waypoint, places) if config.cameras and waypoint + places else None


def _proprioception(size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, 64), nn.ReLU(), nn.Linear(64, 64))


def _head(config: NanoVlaConfig) -> FlowHead | TokenHead | RegressionHead:
    assert config.action_feature is not None, "validate_features has refused that"
    actions, chunk, hidden = config.action_feature.shape[0], config.chunk_size, config.hidden_dim
    if config.head == "flow":
        return FlowHead(hidden, chunk, actions, hidden, config.draws)
    if config.head == "tokens":
        return TokenHead(hidden, chunk, actions, hidden, config.bins, config.bin_range)
    return RegressionHead(hidden, chunk, actions, hidden)
