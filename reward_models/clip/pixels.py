"""From uint8 frames to a CLIP model's input in one batch, equal to open_clip's own transform of single pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from robo_reward.contracts import Frames
from robo_reward.errors import UserError

ResizeMode = Literal["shortest", "longest", "squash"]
TOLERANCE_LEVELS = 2
"""How far a resized value may lie from Pillow's, in steps of 1/255: both round to bytes after each of two passes."""


@dataclass(frozen=True, slots=True)
class PixelSettings:
    """What open_clip's ``preprocess_cfg`` says: ``size`` (height, width), ``mean`` and ``std`` of values in [0, 1]."""

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mode: ResizeMode = "shortest"
    interpolation: str = "bicubic"
    fill: int = 0

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> PixelSettings:
        """From an open_clip ``preprocess_cfg``."""
        size = config["size"]
        height, width = (size, size) if isinstance(size, int) else (int(size[-2]), int(size[-1]))
        interpolation = "bilinear" if config.get("interpolation") == "bilinear" else "bicubic"
        return cls(
            (height, width),
            tuple(config["mean"]),
            tuple(config["std"]),
            config.get("resize_mode") or "shortest",
            interpolation,
            int(config.get("fill_color") or 0),
        )


class PixelPipeline:
    """Resizes, crops or pads, and normalises a batch: (B, H, W, 3) uint8 -> (B, 3, h, w) float32.

    Equal to ``open_clip.image_transform(is_train=False)`` on each picture, up to ``TOLERANCE_LEVELS`` / 255 / std.
    """

    def __init__(self, settings: PixelSettings, device: str = "cpu") -> None:
        self.settings, self._device = settings, device
        # normalising (x / 255 - mean) / std is one multiplication and one addition
        mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (settings.mean, settings.std))
        self._scale, self._offset = 1 / (255 * std), -mean / std

    def __call__(self, frames: Frames) -> Tensor:
        """The model's input.

        Raises:
            UserError: for anything but (B, H, W, 3) uint8.
        """
        if frames.dtype != "uint8" or frames.ndim != 4 or frames.shape[-1] != 3:
            raise UserError(f"frames must be (B, H, W, 3) uint8, got {frames.shape} {frames.dtype}")
        # copied where they are frozen, as a world's are: torch warns about arrays that it may not write to
        plain = np.ascontiguousarray(frames)
        pixels = torch.from_numpy(plain) if plain.flags.writeable else torch.tensor(plain)
        pixels = self._fit(self._resize(pixels.to(self._device).permute(0, 3, 1, 2)))
        return torch.addcmul(self._offset, pixels.float(), self._scale)

    def _resize(self, pixels: Tensor) -> Tensor:
        shown = (pixels.shape[-2], pixels.shape[-1])
        height, width = resized_size(*shown, self.settings)
        if (height, width) == shown:
            return pixels
        mode = self.settings.interpolation
        # only the CPU has a kernel for bytes; it rounds as Pillow does
        if pixels.device.type == "cpu":
            return nn.functional.interpolate(pixels, (height, width), mode=mode, antialias=True)
        return two_passes(pixels.float(), height, width, mode)

    def _fit(self, pixels: Tensor) -> Tensor:
        """Crops what is too large around the middle and pads what is too small."""
        height, width = self.settings.size
        down, right = height - pixels.shape[-2], width - pixels.shape[-1]
        if down > 0 or right > 0:
            top, left = max(down, 0) // 2, max(right, 0) // 2
            border = (left, max(right, 0) - left, top, max(down, 0) - top)
            pixels = nn.functional.pad(pixels, border, value=self.settings.fill)
        top, left = round(max(-down, 0) / 2), round(max(-right, 0) / 2)
        return pixels[..., top : top + height, left : left + width]


def two_passes(pixels: Tensor, height: int, width: int, mode: str) -> Tensor:
    """Resizes (B, 3, H, W) float32 of whole numbers as Pillow does bytes: along the width, rounded, then the height."""
    for size in ((pixels.shape[-2], width), (height, width)):
        pixels = nn.functional.interpolate(pixels, size, mode=mode, antialias=True).round_().clamp_(0, 255)
    return pixels


def resized_size(height: int, width: int, settings: PixelSettings) -> tuple[int, int]:
    """Height and width after resizing, before cropping or padding."""
    target_height, target_width = settings.size
    if settings.mode == "squash":
        return target_height, target_width
    if settings.mode == "shortest" and target_height == target_width:
        # torchvision's: the longer edge is rounded down
        short, long = min(height, width), max(height, width)
        other = int(target_height * long / short)
        return (target_height, other) if height <= width else (other, target_width)
    ratios = (height / target_height, width / target_width)
    ratio = max(ratios) if settings.mode == "longest" else min(ratios)
    return round(height / ratio), round(width / ratio)
