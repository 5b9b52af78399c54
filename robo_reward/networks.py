"""Small networks that both wings with networks use: a layer-normalised MLP and an ensemble of them in one pass."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn


def mlp(inputs: int, outputs: int, width: int = 128, depth: int = 2) -> nn.Sequential:
    """``depth`` hidden layers of ``width`` with LayerNorm and ReLU."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), nn.LayerNorm(width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


class EnsembleMlp(nn.Module):
    """E independent MLPs evaluated by batched matrix products: (B, in) or (E, B, in) -> (E, B, out)."""

    def __init__(self, inputs: int, outputs: int, members: int = 2, width: int = 128, depth: int = 2) -> None:
        super().__init__()
        sizes = [inputs] + [width] * depth + [outputs]
        pairs = list(itertools.pairwise(sizes))
        self.members, self.width = members, width
        self.weights = nn.ParameterList(
            [nn.Parameter((torch.rand(members, a, b) * 2 - 1) / math.sqrt(a)) for a, b in pairs]
        )
        self.biases = nn.ParameterList([nn.Parameter(torch.zeros(members, 1, b)) for _, b in pairs])

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 2:
            x = x.unsqueeze(0).expand(self.members, -1, -1)
        last = len(self.weights) - 1
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if k < last:
                x = torch.relu(torch.layer_norm(x, (self.width,)))
        return x
