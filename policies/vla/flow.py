"""The velocity field of a flow policy: the observation is encoded once, then asked at any noisy chunk and time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from robo_reward.errors import UserError
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy

KNOWN = ("nano_vla", "smolvla", "pi0", "pi05")


class FlowField(Protocol):
    """LeRobot's convention: t from 1 (noise) to 0 (action), x_t = t noise + (1 - t) action, velocity noise - action.

    ``shape``: (K, D) of a noisy chunk; of its D numbers the first ``actions`` mean something, the others are padding.
    ``steps``: Euler steps that the policy itself takes.
    """

    shape: tuple[int, int]
    actions: int
    steps: int

    def encode(self, batch: Mapping[str, Any]) -> Any:
        """What ``velocity`` needs of preprocessed observations, computed once; gradients flow where enabled."""
        ...

    def velocity(self, observation_embedding: Any, noisy_chunk: Tensor, t: Tensor) -> Tensor:
        """(B, K, D) at ``noisy_chunk`` (B, K, D) and time t (B,)."""
        ...


def flow_of(policy: LeRobotPolicy) -> FlowField:
    """The field of a policy; its weights are the policy's own, adapters included.

    Raises:
        UserError: the policy is no flow, or of a type whose inside is not known here.
    """
    kind = policy.config.type
    if kind == "nano_vla" and policy.config.head == "flow":
        return _NanoFlow(policy.policy)
    if kind == "smolvla":
        return _SmolVlaFlow(policy.policy)
    if kind in ("pi0", "pi05"):
        return _PiFlow(policy.policy)
    head = f" with head={policy.config.head}" if kind == "nano_vla" else ""
    raise UserError(f"a {kind} policy{head} has no velocity field that is known here; known: {', '.join(KNOWN)}")


def readout_of(policy: LeRobotPolicy) -> nn.Linear:
    """The last layer of a flow policy, which says the velocity: of a whole chunk at once, or of each of its actions.

    Raises:
        UserError: adapters are in its place.
    """
    layer = policy.policy.head.out if policy.config.type == "nano_vla" else policy.policy.model.action_out_proj
    if not isinstance(layer, nn.Linear):
        raise UserError(
            f"the policy's last layer is a {type(layer).__name__}: update.way=shift moves a plain linear layer, so "
            "set policy.lora=0 or update.way=clipped"
        )
    return layer


class _NanoFlow:
    def __init__(self, policy: Any) -> None:
        self._policy = policy
        self.shape = (policy.config.chunk_size, policy.config.action_feature.shape[0])
        self.actions, self.steps = self.shape[1], policy.config.num_steps

    def encode(self, batch: Mapping[str, Any]) -> Any:
        return self._policy.encode(batch).float()

    def velocity(self, observation_embedding: Any, noisy_chunk: Tensor, t: Tensor) -> Tensor:
        velocity: Tensor = self._policy.velocity(observation_embedding, noisy_chunk, t)
        return velocity


@dataclass(frozen=True, slots=True)
class _Prefix:
    """SmolVLA's keys and values of pictures, words and state."""

    padding: Tensor
    cache: Any


class _SmolVlaFlow:
    """What SmolVLA's ``sample_actions`` does (LeRobot 0.6.1), in its two halves."""

    def __init__(self, policy: Any) -> None:
        self._policy = policy
        config = policy.config
        self.shape = (config.chunk_size, config.max_action_dim)
        self.actions, self.steps = config.action_feature.shape[0], config.num_steps

    def encode(self, batch: Mapping[str, Any]) -> Any:
        import torch
        from lerobot.policies.common.vla_utils import make_att_2d_masks
        from lerobot.utils.constants import OBS_LANGUAGE_ATTENTION_MASK, OBS_LANGUAGE_TOKENS

        policy, model = self._policy, self._policy.model
        batch = policy._prepare_batch(dict(batch))
        images, shown = policy.prepare_images(batch)
        words, there = batch[OBS_LANGUAGE_TOKENS], batch[OBS_LANGUAGE_ATTENTION_MASK]
        embedded, padding, attends = model.embed_prefix(images, shown, words, there, state=policy.prepare_state(batch))
        _, cache = model.vlm_with_expert.forward(
            attention_mask=make_att_2d_masks(padding, attends),
            position_ids=torch.cumsum(padding, dim=1) - 1,
            past_key_values=None,
            inputs_embeds=[embedded, None],
            use_cache=policy.config.use_cache,
        )
        return _Prefix(padding, cache)

    def velocity(self, observation_embedding: Any, noisy_chunk: Tensor, t: Tensor) -> Tensor:
        velocity: Tensor = self._policy.model.denoise_step(
            prefix_pad_masks=observation_embedding.padding,
            past_key_values=observation_embedding.cache,
            x_t=noisy_chunk,
            timestep=t,
        )
        return velocity


@dataclass(frozen=True, slots=True)
class _PiPrefix(_Prefix):
    """The same of pi0, whose state joins at every step; of pi0.5 it is among the words."""

    state: Tensor | None


class _PiFlow:
    """What the samplers of pi0 and pi0.5 do (LeRobot 0.6.1), in their two halves, with gradients."""

    def __init__(self, policy: Any) -> None:
        self._policy = policy
        config = policy.config
        self.shape = (config.chunk_size, config.max_action_dim)
        self.actions, self.steps = config.action_feature.shape[0], config.num_inference_steps

    def encode(self, batch: Mapping[str, Any]) -> Any:
        import torch
        from lerobot.policies.common.vla_utils import make_att_2d_masks, prepare_attention_masks_4d
        from lerobot.utils.constants import OBS_LANGUAGE_ATTENTION_MASK, OBS_LANGUAGE_TOKENS

        policy, model = self._policy, self._policy.model
        images, shown = policy._preprocess_images(batch)
        words, there = batch[OBS_LANGUAGE_TOKENS], batch[OBS_LANGUAGE_ATTENTION_MASK]
        embedded, padding, attends = model.embed_prefix(images, shown, words, there)
        model.paligemma_with_expert.paligemma.model.language_model.config._attn_implementation = "eager"
        _, cache = model.paligemma_with_expert.forward(
            attention_mask=prepare_attention_masks_4d(make_att_2d_masks(padding, attends)),
            position_ids=torch.cumsum(padding, dim=1) - 1,
            past_key_values=None,
            inputs_embeds=[embedded, None],
            use_cache=True,
        )
        return _PiPrefix(padding, cache, policy.prepare_state(batch) if policy.config.type == "pi0" else None)

    def velocity(self, observation_embedding: Any, noisy_chunk: Tensor, t: Tensor) -> Tensor:
        seen = observation_embedding
        state = {} if seen.state is None else {"state": seen.state}
        velocity: Tensor = self._policy.model.denoise_step(
            prefix_pad_masks=seen.padding, past_key_values=seen.cache, x_t=noisy_chunk, timestep=t, **state
        )
        return velocity
