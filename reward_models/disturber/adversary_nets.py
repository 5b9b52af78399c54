"""The adversary's networks: who pushes where, and a critic with two heads, one for the cost and one for the force."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robo_reward.reward_models.disturber.ball_gaussian import BallGaussian

LOWEST, HIGHEST = -2.3, 0.5
"""Log standard deviations: forces keep some variety, and the squashing some effect."""


class RunningScale(nn.Module):
    """Standardises states by the mean and variance of those it was told of (Chan et al. 1979)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.var: Tensor
        self.count: Tensor
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("var", torch.ones(size))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, states: Tensor) -> Tensor:
        """(M, S), clipped to 10 standard deviations."""
        scaled: Tensor = ((states - self.mean) / (self.var + 1e-6).sqrt()).clamp(-10.0, 10.0)
        return scaled

    def learn(self, states: Tensor) -> None:
        """Adds a batch (M, S)."""
        mean, var, count = states.mean(0), states.var(0, unbiased=False), float(len(states))
        total = float(self.count) + count
        delta = mean - self.mean
        old = self.var * self.count + var * count + delta.square() * self.count * count / total
        self.mean += delta * count / total
        self.var.copy_(old / total)
        self.count.fill_(total)


class AdversaryNets(nn.Module):
    """Its own networks on the observed states: nothing flows back into the policy's."""

    def __init__(self, states: int, forces: int, layers: Sequence[int], initial_std: float) -> None:
        super().__init__()
        self.scale = RunningScale(states)
        self.actor = mlp(states, layers, forces)
        self.critic = mlp(states, layers, 2)
        last = self.actor[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.weight.mul_(0.01)
            last.bias.zero_()
        self.log_std = nn.Parameter(torch.full((forces,), float(torch.tensor(initial_std).log())))

    def forces(self, states: Tensor) -> BallGaussian:
        """The distribution over the unit ball for states (M, S)."""
        return BallGaussian(self.actor(self.scale(states)), self.log_std.clamp(LOWEST, HIGHEST))

    def values(self, states: Tensor) -> Tensor:
        """(M, 2): mean cost and mean force per step from here on, discounted and times 1 - gamma."""
        found: Tensor = self.critic(self.scale(states))
        return found


def mlp(inputs: int, layers: Sequence[int], outputs: int) -> nn.Sequential:
    """ELU between the layers, nothing after the last."""
    parts: list[nn.Module] = []
    for size in layers:
        parts += [nn.Linear(inputs, size), nn.ELU()]
        inputs = size
    return nn.Sequential(*parts, nn.Linear(inputs, outputs))
