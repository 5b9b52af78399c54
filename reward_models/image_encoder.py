"""From several camera views to one embedding: a small network trained here, or a frozen one by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from robo_reward.contracts import Frames
from robo_reward.errors import UserError
from robo_reward.reward_models.backbones import CHANNELS as CHANNELS
from robo_reward.reward_models.backbones import Backbone

BATCH = 64
"""Pictures that a frozen network is shown at a time; all of an episode need not fit into memory."""


def stack_views(frames: Mapping[str, Frames], views: Sequence[str]) -> Tensor:
    """(F, 3V, H, W) float32 in [-0.5, 0.5] from view -> (F, H, W, 3) uint8.

    Raises:
        UserError: if a view is missing or the sizes differ.
    """
    missing = [view for view in views if view not in frames]
    if missing:
        raise UserError(f"the reward reads view(s) {missing}, but the frames have {sorted(frames)}: set env.views")
    sizes = {frames[view].shape[1:3] for view in views}
    if len(sizes) > 1:
        raise UserError(f"all views of one reward need one size, got {sorted(sizes)}: set env.height and env.width")
    # a copy: frames of a world are frozen, and torch wants to write where it reads
    tensors = [torch.tensor(frames[view]).permute(0, 3, 1, 2) for view in views]
    return torch.cat(tensors, 1).float().div_(255).sub_(0.5)


def augment(images: Tensor, shift: int, brightness: float, groups: int = 6) -> Tensor:
    """Randomly shifted (each camera by itself, up to ``shift`` pixels) and brightened copies of (B, 3V, H, W).

    One draw serves every ``groups``-th image: per-image cropping costs more than the network itself on a CPU.
    """
    count, channels, height, width = images.shape
    if shift:
        padded = nn.functional.pad(images, (shift,) * 4, mode="replicate")
        images = torch.empty_like(images)
        for group in range(min(groups, count)):
            for view in range(0, channels, CHANNELS):
                top, left = (int(v) for v in torch.randint(0, 2 * shift + 1, (2,)))
                box = padded[group::groups, view : view + CHANNELS, top : top + height, left : left + width]
                images[group::groups, view : view + CHANNELS] = box
    if brightness:
        if not shift:
            images = images.clone()
        contrast = 1 + brightness * torch.randn(count, 1, 1, 1)
        # in place: on a CPU a fresh tensor of this size costs more than the sum
        images.mul_(contrast).add_(0.5 * brightness * torch.randn(count, channels, 1, 1))
    return images


class ConvEncoder(nn.Module):
    """Four strided convolutions over the stacked views, flattened: (B, 3V, H, W) -> (B, size), LayerNorm and ReLU.

    Flattening keeps *where* things are: with hand cameras, the goal's place in the picture is the progress.
    """

    def __init__(self, views: int, height: int, width: int, size: int = 64) -> None:
        super().__init__()
        if min(height, width) < 32:
            raise UserError(f"frames of {height}x{width} are too small for the encoder: use at least 32x32")
        self.convolutions = nn.Sequential(
            nn.Conv2d(CHANNELS * views, 16, 5, 2, 2),
            nn.ReLU(),
            nn.Conv2d(16, 24, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(24, 32, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, 2, 1),
            nn.ReLU(),
            nn.Flatten(),
        )
        flat = self.convolutions(torch.zeros(1, CHANNELS * views, height, width)).shape[1]
        self.head = nn.Sequential(nn.Linear(flat, size), nn.LayerNorm(size), nn.ReLU())
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        embedded: Tensor = self.head(self.convolutions(images))
        return embedded


class FrozenEncoder(nn.Module):
    """A pretrained image encoder by name, never updated, and a small trained projection: (B, 3V, H, W) -> (B, size).

    ``name``: as ``Backbone`` takes it. Views are encoded one by one and concatenated. What the network sees in a
    picture never changes, so a fit asks it once (``features``) and trains the projection on that, (B, D) -> (B, size).
    """

    def __init__(self, name: str, views: int, size: int = 64) -> None:
        super().__init__()
        self.backbone = Backbone(name)
        self.head = nn.Sequential(nn.Linear(self.backbone.features * views, size), nn.LayerNorm(size), nn.ReLU())
        self.size = size

    def train(self, mode: bool = True) -> FrozenEncoder:
        super().train(mode)
        self.backbone.eval()
        return self

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """What the network sees, (B, D), of images (B, 3V, H, W), some at a time."""
        return torch.cat([self.backbone(part) for part in images.split(BATCH)])

    def forward(self, seen: Tensor) -> Tensor:
        embedded: Tensor = self.head(seen if seen.dim() == 2 else self.features(seen))
        return embedded
