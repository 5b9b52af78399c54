"""A value network on what the policy itself sees: its context features and the share of the episode that is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from robo_reward.errors import UserError
from robo_reward.policies.vla.flow import flow_of
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla_learning.exploring import Decision, gathered, prepared


class ValueHead(nn.Module):
    """V of context features (B, F) and the share (B,) of the episode's time that is over, (B,)."""

    def __init__(self, features: int, hidden: int = 256) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.net = nn.Sequential(
            nn.Linear(features + 1, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1)
        )
        nn.init.zeros_(self.net[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.net[-1].bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor, over: Tensor) -> Tensor:
        """(B,)."""
        value: Tensor = self.net(torch.cat([self.norm(features), over[:, None]], -1)).squeeze(-1)
        return value


@torch.no_grad()
def context_features(policy: LeRobotPolicy, decisions: Sequence[Decision], batch: int = 64) -> Tensor:
    """(D, F) on the CPU: what the policy's trunk made of each decision's observation, without gradients.

    nano_vla's embedding; of SmolVLA the last layer's values of pictures, words and state, their mean without padding.

    Raises:
        UserError: the policy's inside is not known here.
    """
    policy.policy.eval()
    parts = []
    for first in range(0, len(decisions), batch):
        seen = prepared(policy, gathered(decisions[first : first + batch]))
        parts.append(_context(policy, seen).float().cpu())
    return torch.cat(parts)


def _context(policy: LeRobotPolicy, seen: Mapping[str, Any]) -> Tensor:
    if policy.config.type == "nano_vla":
        embedding: Tensor = policy.policy.encode(seen)
        return embedding
    if policy.config.type != "smolvla":
        raise UserError(f"learner=vla_ppo does not know what a {policy.config.type} policy sees: use learner=grpo")
    prefix = flow_of(policy).encode(seen)
    values = prefix.cache.layers[-1].values.transpose(1, 2).flatten(2)  # (B, L, heads * size)
    there = prefix.padding[..., None].to(values.dtype)
    pooled: Tensor = (values * there).sum(1) / there.sum(1).clamp(min=1)
    return pooled
