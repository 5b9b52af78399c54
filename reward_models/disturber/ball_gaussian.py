"""A Gaussian squashed into the unit ball, with the density of the force that is really applied.

Clipping a Gaussian at the bound and keeping its density biases PPO's ratio. Here u ~ N(mean, std) becomes
y = u tanh(|u|) / |u|, which keeps its direction; tanh(r) has the derivative 1 - tanh(r)^2 along u, and all other
directions shrink by tanh(r) / r, so that log p(y) = log N(u) - log(1 - tanh(r)^2) - (D - 1) log(tanh(r) / r).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

EDGE = 1.0 - 1e-6
TINY = 1e-6


@dataclass(frozen=True, slots=True)
class BallGaussian:
    """``mean`` (N, D) and ``log_std`` (D,) of the Gaussian before it is squashed."""

    mean: Tensor
    log_std: Tensor

    def displaced(self, noise: Tensor) -> Tensor:
        """(N, D) unsquashed draws from standard normal ``noise`` (N, D)."""
        drawn: Tensor = self.mean + self.log_std.exp() * noise
        return drawn

    def log_prob(self, raw: Tensor) -> Tensor:
        """(N,) log density in the ball of ``squash(raw)``."""
        standard = (raw - self.mean) / self.log_std.exp()
        count = raw.shape[1]
        gaussian = -0.5 * standard.square().sum(1) - self.log_std.sum() - 0.5 * count * math.log(2 * math.pi)
        density: Tensor = gaussian - log_shrinkage(raw)
        return density

    def entropy(self) -> Tensor:
        """() of the Gaussian before it is squashed, in nats."""
        nats: Tensor = (self.log_std + 0.5 * math.log(2 * math.pi * math.e)).sum()
        return nats


def squash(raw: Tensor) -> Tensor:
    """(N, D) in the unit ball, in the same directions."""
    radius = raw.norm(dim=1, keepdim=True).clamp_min(TINY)
    inside: Tensor = raw * (torch.tanh(radius) / radius)
    return inside


def unsquash(inside: Tensor) -> Tensor:
    """(N, D) what is squashed to ``inside``; at the ball's edge, to just inside of it."""
    radius = inside.norm(dim=1, keepdim=True).clamp(TINY, EDGE)
    raw: Tensor = inside * (torch.atanh(radius) / inside.norm(dim=1, keepdim=True).clamp_min(TINY))
    return raw


def log_shrinkage(raw: Tensor) -> Tensor:
    """(N,) log of the squashing's volume ratio at ``raw`` (N, D)."""
    radius = raw.norm(dim=1).clamp_min(TINY)
    # log(1 - tanh(r)^2), without cancellation
    along = 2.0 * (math.log(2.0) - radius - torch.nn.functional.softplus(-2.0 * radius))
    ratio: Tensor = along + (raw.shape[1] - 1) * torch.log(torch.tanh(radius) / radius)
    return ratio
