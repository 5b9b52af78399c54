"""A compact multi-view transformer: each picture becomes a token, a pair of moments becomes a hop."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robo_reward.reward_models.image_encoder import CHANNELS, ConvEncoder
from robo_reward.reward_models.instruction import SIZE as TASK_SIZE


class HopNet(nn.Module):
    """Pictures of V views -> tokens (K, V, size); pairs of moments -> hop (B,) and what led to it (B, size).

    A pair is read as a row of tokens, each marked with its role: a summary, the instruction, the start and goal anchors
    (first view only, as in Robo-Dopamine), and per view before, after and their difference. A view or an anchor that is
    absent is masked, so one network serves any choice of views.
    """

    def __init__(self, views: int, height: int, width: int, size: int = 64, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.views, self.size = views, size
        self.stems = nn.ModuleList([ConvEncoder(1, height, width, size) for _ in range(views)])
        self.task = nn.Linear(TASK_SIZE, size)
        self.roles = nn.Parameter(0.02 * torch.randn(4 + 3 * views, size))
        block = nn.TransformerEncoderLayer(
            size, heads, 2 * size, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(block, layers, nn.LayerNorm(size), enable_nested_tensor=False)
        self.mix = nn.Linear(3 * size, size)
        self.head = nn.Sequential(nn.Linear(size, size), nn.GELU(), nn.Linear(size, 1))

    def encode(self, images: Tensor) -> Tensor:
        """Tokens (K, V, size) of stacked views (K, 3V, H, W) in [-0.5, 0.5]."""
        return torch.stack([stem(x) for stem, x in zip(self.stems, images.split(CHANNELS, 1), strict=True)], 1)

    def forward(
        self, before: Tensor, after: Tensor, start: Tensor, goal: Tensor, task: Tensor, given: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(hop (B,), features (B, size)).

        ``before``, ``after`` (B, V, size) and the first view's ``start``, ``goal`` (B, size) are tokens; ``task``
        (B, 32) instructions; ``given`` (B, 2 + V) bool: whether the start, the goal and each view are there. The hop is
        not clipped to [-1, 1] here: its error would stop being felt beyond the ends.
        """
        changed = after - before
        rows = [torch.zeros_like(start), self.task(task), start, goal]
        rows += [x[:, v] for v in range(self.views) for x in (before, after, changed)]
        tokens = torch.stack(rows, 1) + self.roles
        always = torch.ones_like(given[:, :1]).expand(-1, 2)
        seen = torch.cat([always, given[:, :2], given[:, 2:].repeat_interleave(3, 1)], 1)
        summary = self.blocks(tokens, src_key_padding_mask=~seen)[:, 0]
        share = (given[:, 2:].float() / given[:, 2:].float().sum(1, keepdim=True).clamp(min=1)).unsqueeze(-1)
        mean = torch.cat([(before * share).sum(1), (changed * share).sum(1)], -1)
        features = torch.relu(self.mix(torch.cat([summary, mean], -1)))
        return self.head(features).squeeze(-1), features
