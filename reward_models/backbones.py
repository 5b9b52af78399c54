"""Pretrained image encoders by name, frozen: what other people's networks see in a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robo_reward.errors import MissingExtra, UserError
from robo_reward.reward_models.clip.weights import INSTEAD, load_open_clip, random_weights, weights_at_hand

CHANNELS = 3
RANDOM = "random"
"""The checkpoint that stands for random weights."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A network with what it expects: square pictures of ``pixels``, ``mean`` and ``std`` of values in [0, 1]."""

    net: nn.Module
    pixels: int
    features: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Backbone(nn.Module):
    """A frozen image encoder: views (B, 3V, H, W) float32 in [-0.5, 0.5] -> features (B, features * V).

    ``name`` is ``timm:<model>`` or ``open_clip:<architecture>/<checkpoint>``; weights come from the hub or from a local
    path in place of the checkpoint. The checkpoint ``random`` (``timm:<model>/random``) gives random weights, the same
    every time and said loudly, for trying things without a download. ``features``: per view.
    ``grid`` > 1 keeps where things are: the last feature map of a timm network, averaged in grid x grid cells.
    ``restorable``: whether its name alone gives the same weights again, so that they need not be saved.

    Raises:
        UserError: for an unknown name, for weights that are neither here nor to be fetched, and for a grid of a network
            that has no feature map.
        MissingExtra: without the library.
    """

    def __init__(self, name: str, grid: int = 1) -> None:
        super().__init__()
        loaded = _load(name)
        if grid < 1 or (grid > 1 and not name.startswith("timm:")):
            raise UserError(f"grid={grid} of encoder={name}: only timm's networks have a map for a grid; use grid=1")
        self.name, self.grid, self.restorable = name, grid, not name.endswith(f"/{RANDOM}")
        self.net, self.pixels = loaded.net.requires_grad_(False).eval(), loaded.pixels
        self.features = loaded.features * grid**2
        self.register_buffer("mean", torch.tensor(loaded.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(loaded.std).view(1, 3, 1, 1))

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        views = images.shape[1] // CHANNELS
        pictures = torch.cat(images.split(CHANNELS, 1)) + 0.5
        pictures = nn.functional.interpolate(pictures, (self.pixels,) * 2, mode="bilinear", antialias=True)
        features = self._seen((pictures - self.get_buffer("mean")) / self.get_buffer("std"))
        return torch.cat(features.chunk(views), 1)

    def _seen(self, pictures: Tensor) -> Tensor:
        if self.grid == 1:
            pooled: Tensor = self.net(pictures)
            return pooled
        net: Any = self.net
        shown = net.forward_features(pictures)
        if shown.dim() != 4 or shown.shape[1] * self.grid**2 != self.features:
            raise UserError(f"encoder={self.name} has no map of features by place: use grid=1 or a convolutional one")
        return nn.functional.adaptive_avg_pool2d(shown, self.grid).flatten(1)


def _load(name: str) -> _Loaded:
    library, _, model = name.partition(":")
    if library == "timm":
        return _load_timm(model)
    if library == "open_clip":
        return _load_open_clip(model)
    raise UserError(f"encoder '{name}': use conv, timm:<model> or open_clip:<architecture>/<checkpoint>")


def _load_timm(name: str) -> _Loaded:
    try:
        import timm
    except ImportError:
        raise MissingExtra("timm", "encoders", f"encoder=timm:{name}") from None
    model = name.removesuffix(f"/{RANDOM}")
    if not timm.is_model(model):
        raise UserError(f"timm has no model '{model}': see timm.list_models()")
    asked = f"encoder=timm:{name}"
    if model != name:
        with random_weights(asked):
            net: Any = timm.create_model(model, pretrained=False, num_classes=0)
    else:
        with weights_at_hand(asked):
            net = timm.create_model(model, pretrained=True, num_classes=0)
    setting = timm.data.resolve_data_config({}, model=net)
    pixels, mean, std = int(setting["input_size"][-1]), tuple(setting["mean"]), tuple(setting["std"])
    return _Loaded(net, pixels, int(net.num_features), mean, std)


class _ImageTower(nn.Module):
    """The image half of a CLIP model as a plain module."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def forward(self, images: Tensor) -> Tensor:
        features = self.visual(images)
        result: Tensor = features[0] if isinstance(features, tuple) else features
        return result


def _load_open_clip(name: str) -> _Loaded:
    architecture, _, checkpoint = name.partition("/")
    if not checkpoint:
        raise UserError(f"encoder=open_clip:{name} names no checkpoint: use open_clip:{architecture}/<checkpoint>")
    asked = f"encoder=open_clip:{name}"
    chosen = None if checkpoint == RANDOM else checkpoint
    visual: Any = load_open_clip(architecture, chosen, asked, INSTEAD).visual
    size = visual.image_size
    pixels = int(size[0] if isinstance(size, tuple | list) else size)
    mean, std = tuple(visual.image_mean), tuple(visual.image_std)
    return _Loaded(_ImageTower(visual), pixels, int(visual.output_dim), mean, std)
