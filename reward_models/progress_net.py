"""The progress network: one encoder, and heads for absolute progress, the hop between two frames, and success."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robo_reward.errors import UserError
from robo_reward.networks import EnsembleMlp
from robo_reward.reward_models.image_encoder import ConvEncoder, FrozenEncoder
from robo_reward.reward_models.instruction import SIZE as TASK_SIZE

EMBEDDING = 64


class StateEncoder(nn.Module):
    """A two-layer network on normalised state vectors, (B, S) -> (B, size): for rewards without pictures."""

    def __init__(self, states: int, size: int = EMBEDDING) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(states, size), nn.ReLU(), nn.Linear(size, size), nn.LayerNorm(size))
        self.register_buffer("mean", torch.zeros(states))
        self.register_buffer("std", torch.ones(states))

    def normalise_by(self, states: Tensor) -> None:
        """Takes mean and spread of the demonstrations' states."""
        self.get_buffer("mean").copy_(states.mean(0))
        self.get_buffer("std").copy_(states.std(0).clamp(min=0.1))

    def forward(self, states: Tensor) -> Tensor:
        """Raises UserError for states of another size than those it was made for."""
        size, known = states.shape[-1], len(self.get_buffer("mean"))
        if size != known:
            raise UserError(
                f"this reward model was fitted on states of {known} numbers, got {size}: give it data or an env with "
                "the states that it knows, or fit one on these"
            )
        z = ((states - self.get_buffer("mean")) / self.get_buffer("std")).clamp(-5, 5)
        embedded: Tensor = self.net(z)
        return embedded


def make_encoder(name: str, views: int, height: int, width: int, states: int) -> nn.Module:
    """The encoder by name: ``conv`` (trained here), ``state``, ``timm:MODEL`` or ``open_clip:MODEL/CHECKPOINT``."""
    if name == "state":
        return StateEncoder(states)
    if name == "conv":
        return ConvEncoder(views, height, width, EMBEDDING)
    return FrozenEncoder(name, views, EMBEDDING)


class ProgressNet(nn.Module):
    """Heads on an embedding z (B, 64) and an instruction vector (B, 32); each head is an ensemble of E small networks.

    The members share the encoder and differ in their start and in the samples they see: their spread is the
    uncertainty that the sharing leaves, so it is a lower bound.
    """

    def __init__(self, encoder: nn.Module, members: int = 3) -> None:
        super().__init__()
        self.encoder = encoder
        self.progress_head = EnsembleMlp(EMBEDDING + TASK_SIZE, 1, members, width=64, depth=1)
        self.hop_head = EnsembleMlp(3 * EMBEDDING + TASK_SIZE, 1, members, width=64, depth=1)
        self.success_head = EnsembleMlp(EMBEDDING + TASK_SIZE, 1, members, width=64, depth=1)

    def progress(self, z: Tensor, task: Tensor) -> Tensor:
        """Absolute progress of each member, (E, B) in [0, 1]."""
        return torch.sigmoid(self.progress_head(torch.cat([z, task], -1)).squeeze(-1))

    def hop(self, before: Tensor, after: Tensor, task: Tensor) -> Tensor:
        """The signed hop from ``before`` to ``after`` by each member, (E, B) in [-1, 1]."""
        pair = torch.cat([before, after, after - before, task], -1)
        return torch.tanh(self.hop_head(pair).squeeze(-1))

    def success_logit(self, z: Tensor, task: Tensor) -> Tensor:
        """The success logit of each member, (E, B)."""
        logit: Tensor = self.success_head(torch.cat([z, task], -1)).squeeze(-1)
        return logit
