"""The actor: a tanh-squashed Gaussian over actions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from robo_reward.networks import mlp

LOG_STD_MIN, LOG_STD_MAX = -5.0, 1.0


class Actor(nn.Module):
    """A tanh-squashed Gaussian over actions in (-1, 1)."""

    def __init__(self, inputs: int, actions: int, width: int = 128, *, timid: bool = False) -> None:
        """``timid``: starts near 0 with little noise, for corrections to another policy."""
        super().__init__()
        self.net = mlp(inputs, 2 * actions, width)
        last = self.net[-1]
        if timid and isinstance(last, nn.Linear):
            with torch.no_grad():
                last.weight.mul_(0.1)
                last.bias[actions:] -= 1.0

    def moments(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation before squashing, each (B, A)."""
        mean, log_std = self.net(state).chunk(2, -1)
        return mean, log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)

    def sample(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """A sampled action (B, A) and its log-probability (B,), with the exact tanh correction."""
        action, log_prob, _ = self.sample_and_mode(state)
        return action, log_prob

    def sample_and_mode(self, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``sample`` and ``mode`` in one pass."""
        mean, log_std = self.moments(state)
        noise = torch.randn_like(mean)
        raw = mean + log_std.exp() * noise
        gaussian = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
        squash = 2 * (math.log(2) - raw - nn.functional.softplus(-2 * raw))
        return torch.tanh(raw), (gaussian - squash).sum(-1), torch.tanh(mean)

    def mode(self, state: Tensor) -> Tensor:
        """The deterministic action (B, A)."""
        return torch.tanh(self.moments(state)[0])
