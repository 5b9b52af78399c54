"""From several camera views to one embedding: a small network trained here, or a frozen one by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from robo_reward.contracts import Frames
from robo_reward.errors import MissingExtra, UserError

CHANNELS = 3


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
        contrast = 1 + brightness * torch.randn(count, 1, 1, 1)
        images = images * contrast + 0.5 * brightness * torch.randn(count, channels, 1, 1)
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

    ``name`` is ``timm:<model>`` or ``open_clip:<architecture>/<checkpoint>``; weights come from the hub or from a local
    path in place of the checkpoint. Views are encoded one by one and concatenated.
    """

    def __init__(self, name: str, views: int, size: int = 64, *, pretrained: bool = True) -> None:
        super().__init__()
        self.views = views
        self.backbone, self._pixels, features, mean, std = _load_backbone(name, pretrained)
        self.backbone.requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.head = nn.Sequential(nn.Linear(features * views, size), nn.LayerNorm(size), nn.ReLU())
        self.size = size

    def train(self, mode: bool = True) -> FrozenEncoder:
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        pictures = torch.cat(images.split(CHANNELS, 1)) + 0.5
        pictures = nn.functional.interpolate(pictures, (self._pixels,) * 2, mode="bilinear", antialias=True)
        with torch.no_grad():
            features = self.backbone((pictures - mean) / std)
        embedded: Tensor = self.head(torch.cat(features.chunk(self.views), 1))
        return embedded


def _load_backbone(name: str, pretrained: bool) -> tuple[nn.Module, int, int, tuple[float, ...], tuple[float, ...]]:
    library, _, model = name.partition(":")
    if library == "timm":
        return _load_timm(model, pretrained)
    if library == "open_clip":
        return _load_open_clip(model, pretrained)
    raise UserError(f"encoder '{name}': use conv, timm:<model> or open_clip:<architecture>/<checkpoint>")


@contextmanager
def _weights_at_hand(encoder: str) -> Iterator[None]:
    """Turns what the hub's client says about weights that it cannot get into a user's error."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:  # offline, no such checkpoint, another architecture's file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"the weights of encoder={encoder} could not be loaded: {reason} (check the name, the network and "
            "HF_HUB_OFFLINE; encoder=conv needs none)"
        ) from error


def _load_timm(model: str, pretrained: bool) -> tuple[nn.Module, int, int, tuple[float, ...], tuple[float, ...]]:
    try:
        import timm
    except ImportError:
        raise MissingExtra("timm", "encoders", f"encoder=timm:{model}") from None
    if model not in timm.list_models():
        raise UserError(f"timm has no model '{model}': see timm.list_models()")
    with _weights_at_hand(f"timm:{model}"):
        net: Any = timm.create_model(model, pretrained=pretrained, num_classes=0)
    setting = timm.data.resolve_data_config({}, model=net)
    return (
        net,
        int(setting["input_size"][-1]),
        int(net.num_features),
        tuple(setting["mean"]),
        tuple(setting["std"]),
    )


class _ImageTower(nn.Module):
    """The image half of a CLIP model as a plain module."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def forward(self, images: Tensor) -> Tensor:
        features = self.visual(images)
        result: Tensor = features[0] if isinstance(features, tuple) else features
        return result


def _load_open_clip(model: str, pretrained: bool) -> tuple[nn.Module, int, int, tuple[float, ...], tuple[float, ...]]:
    try:
        import open_clip
    except ImportError:
        raise MissingExtra("open-clip-torch", "encoders", f"encoder=open_clip:{model}") from None
    architecture, _, checkpoint = model.partition("/")
    if architecture not in open_clip.list_models():
        raise UserError(f"open_clip has no architecture '{architecture}': see open_clip.list_models()")
    if pretrained and not checkpoint:
        raise UserError(f"encoder=open_clip:{model} names no checkpoint: use open_clip:{architecture}/<checkpoint>")
    with _weights_at_hand(f"open_clip:{model}"):
        net: Any = open_clip.create_model(architecture, pretrained=checkpoint if pretrained else None)
    visual = net.visual
    size = visual.image_size
    pixels = int(size[0] if isinstance(size, tuple | list) else size)
    return _ImageTower(visual), pixels, int(visual.output_dim), tuple(visual.image_mean), tuple(visual.image_std)
