"""Three ways to say an action chunk: a flow-matching expert, one token for every number, plain regression.

All work on normalised chunks (B, K, A). The flow follows LeRobot's convention: time t goes from 1 (noise) to 0
(action), x_t = t noise + (1 - t) action, and the velocity is noise - action.
"""

from __future__ import annotations

import torch
from lerobot.policies.common.flow_matching import euler_integrate, sample_time_beta
from torch import Tensor, nn
from torch.nn import functional

FREQUENCIES = 16


class FlowHead(nn.Module):
    """An action expert that predicts the velocity of a noisy chunk, given the encoded observation.

    The objective and its times, 0.001 + 0.999 Beta(1.5, 1), are those of pi0 and NORA-1.5; the expert is an MLP,
    because at this size attention costs more than it brings.
    """

    def __init__(self, context: int, chunk: int, actions: int, hidden: int, draws: int) -> None:
        super().__init__()
        self.shape, self.draws = (chunk, actions), draws
        self.noisy = nn.Linear(chunk * actions + 1 + 2 * FREQUENCIES, hidden)
        self.context = nn.Linear(context, hidden)
        self.blocks = nn.ModuleList([_block(hidden), _block(hidden)])
        self.out = nn.Linear(hidden, chunk * actions)

    def velocity(self, embedding: Tensor, noisy_chunk: Tensor, t: Tensor) -> Tensor:
        """Velocity (B, K, A) at a noisy chunk (B, K, A) and time t (B,) in [0, 1]; embedding (B, H)."""
        t = t.to(noisy_chunk.dtype)[:, None]
        angle = t * torch.exp(torch.linspace(0, 5, FREQUENCIES, device=t.device, dtype=t.dtype))
        x = self.noisy(torch.cat([noisy_chunk.flatten(1), t, angle.sin(), angle.cos()], -1))
        x = x + self.context(embedding)
        for block in self.blocks:
            x = x + block(x)
        velocity: Tensor = self.out(functional.silu(x)).unflatten(1, self.shape)
        return velocity

    def loss(self, embedding: Tensor, chunk: Tensor) -> Tensor:
        """Squared error (B, K, A) of the velocity, the mean of ``draws`` pairs of noise and time."""
        count = len(chunk)
        embedding, target = embedding.repeat(self.draws, 1), chunk.repeat(self.draws, 1, 1)
        t = sample_time_beta(len(target), chunk.device, alpha=1.5, beta=1.0, scale=0.999, offset=0.001)
        noise = torch.randn_like(target)
        noisy = t[:, None, None] * noise + (1 - t[:, None, None]) * target
        error = (self.velocity(embedding, noisy, t) - (noise - target)).square()
        return error.view(self.draws, count, *self.shape).mean(0)

    def sample(self, embedding: Tensor, noise: Tensor | None, steps: int) -> Tensor:
        """A chunk (B, K, A) by ``steps`` Euler steps from ``noise`` (B, K, A), drawn where it is None."""
        if noise is None:
            noise = torch.randn(len(embedding), *self.shape, device=embedding.device)
        chunk: Tensor = euler_integrate(lambda x, t: self.velocity(embedding, x, t), noise, steps)
        return chunk


class TokenHead(nn.Module):
    """Every number of the chunk is one of ``bins`` tokens; all are decoded at once (OpenVLA-OFT, Kim et al. 2025)."""

    def __init__(self, context: int, chunk: int, actions: int, hidden: int, bins: int, reach: float) -> None:
        super().__init__()
        self.shape, self.bins, self.reach = (chunk, actions), bins, reach
        self.net = _mlp(context, hidden, chunk * actions * bins)

    def logits(self, embedding: Tensor) -> Tensor:
        """(B, K, A, bins)."""
        logits: Tensor = self.net(embedding).unflatten(1, (*self.shape, self.bins))
        return logits

    def tokens(self, chunk: Tensor) -> Tensor:
        """(B, K, A) int64: the bin of each number; what lies outside belongs to the outermost."""
        place = (chunk + self.reach) / (2 * self.reach) * self.bins
        return place.long().clamp(0, self.bins - 1)

    def values(self, tokens: Tensor) -> Tensor:
        """(B, K, A) float32: the middles of the bins."""
        return (tokens.float() + 0.5) / self.bins * 2 * self.reach - self.reach

    def loss(self, embedding: Tensor, chunk: Tensor) -> Tensor:
        """Cross-entropy (B, K, A)."""
        logits = self.logits(embedding)
        return functional.cross_entropy(logits.flatten(0, 2), self.tokens(chunk).flatten(), reduction="none").view(
            logits.shape[:-1]
        )

    def log_prob(self, embedding: Tensor, tokens: Tensor, temperature: float = 1.0) -> Tensor:
        """Log-probabilities (B, K, A) of ``tokens`` (B, K, A) at a temperature > 0."""
        each = (self.logits(embedding) / temperature).log_softmax(-1)
        chosen: Tensor = each.gather(-1, tokens[..., None])[..., 0]
        return chosen

    def draw(self, embedding: Tensor, temperature: float = 0.0) -> Tensor:
        """Tokens (B, K, A): the most likely ones at temperature 0, else drawn."""
        logits = self.logits(embedding)
        if temperature == 0:
            return logits.argmax(-1)
        drawn: Tensor = torch.distributions.Categorical(logits=logits / temperature).sample()
        return drawn


class RegressionHead(nn.Module):
    """The chunk itself, by L1: the median, where demonstrations differ."""

    def __init__(self, context: int, chunk: int, actions: int, hidden: int) -> None:
        super().__init__()
        self.shape = (chunk, actions)
        self.net = _mlp(context, hidden, chunk * actions)

    def chunk(self, embedding: Tensor) -> Tensor:
        """(B, K, A)."""
        chunk: Tensor = self.net(embedding).unflatten(1, self.shape)
        return chunk

    def loss(self, embedding: Tensor, chunk: Tensor) -> Tensor:
        """Absolute error (B, K, A)."""
        return (self.chunk(embedding) - chunk).abs()


def _block(width: int) -> nn.Sequential:
    return nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))


def _mlp(size: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, out))
