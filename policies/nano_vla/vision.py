"""What a camera sees, as a vector: keypoints and features of a small convolutional network, steered by words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

TEMPERATURE = 10.0
"""First sharpness of the keypoints' softmax; it is learned. With 1 the network hardly learns where things are."""


class Film(nn.Module):
    """Feature-wise linear modulation by the instruction (Perez et al. 2018), at first the identity."""

    def __init__(self, words: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(words, 2 * channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, words: Tensor) -> Tensor:
        """(B, C, H, W) scaled and shifted by what the words (B, W) say."""
        scale, shift = self.linear(words).chunk(2, -1)
        modulated: Tensor = x * (1 + scale[..., None, None]) + shift[..., None, None]
        return modulated


class CameraEncoder(nn.Module):
    """Pictures (B, 3, S, S) in [-0.5, 0.5] -> (B, size): keypoints' places (Finn et al. 2016) and pooled features."""

    coordinates: Tensor

    def __init__(self, image_size: int, channels: int, keypoints: int, words: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.first = nn.Conv2d(5, channels, 5, 2, 2)
        self.second = nn.Conv2d(channels, wide, 3, 2, 1)
        self.third = nn.Conv2d(wide, wide, 3, 1, 1)
        self.norms = nn.ModuleList([nn.GroupNorm(8, channels), nn.GroupNorm(8, wide), nn.GroupNorm(8, wide)])
        self.films = nn.ModuleList([Film(words, wide), Film(words, wide)])
        self.maps = nn.Conv2d(wide, keypoints, 1)
        self.pooled = nn.Conv2d(wide, 4 * channels, 3, 2, 1)
        self.sharpness = nn.Parameter(torch.full((1,), TEMPERATURE))
        line = torch.linspace(-1, 1, image_size)
        self.register_buffer("coordinates", torch.stack(torch.meshgrid(line, line, indexing="xy")), persistent=False)
        self.size = 2 * keypoints + 4 * channels

    def forward(self, pictures: Tensor, words: Tensor) -> Tensor:
        """(B, size) float32."""
        place = self.coordinates.to(pictures.dtype).expand(len(pictures), -1, -1, -1)
        # not channels_last: group normalisation is ten times slower in it, and convolutions hardly faster
        x = torch.cat([pictures, 0.5 * place], 1).contiguous()
        x = functional.relu(self.norms[0](self.first(x)))
        x = functional.relu(self.films[0](self.norms[1](self.second(x)), words))
        x = x + functional.relu(self.films[1](self.norms[2](self.third(x)), words))
        pooled = functional.relu(self.pooled(x)).float().mean((2, 3))
        return torch.cat([self._keypoints(x), pooled], -1)

    def _keypoints(self, x: Tensor) -> Tensor:
        """(B, 2 K) in [-1, 1]: where each map is high, on average."""
        maps = self.maps(x).float()
        height, width = maps.shape[-2:]
        weight = (maps.flatten(2) * self.sharpness).softmax(-1)
        y = torch.linspace(-1, 1, height, device=x.device).repeat_interleave(width)
        x_line = torch.linspace(-1, 1, width, device=x.device).repeat(height)
        return torch.cat([weight @ x_line, weight @ y], -1)


def shrink(pictures: Tensor, size: int, crop: Sequence[float] | None = None) -> Tensor:
    """Crops (B, 3, H, W) and averages areas down to (B, 3, size, size), same dtype; what has that size already stays.

    ``crop``: [top, bottom, left, right] as shares. Shrinking twice is shrinking once, so that datasets may be kept in
    memory at the size that the network reads.
    """
    height, width = pictures.shape[-2:]
    if height == size and width == size:
        return pictures
    if crop is not None:
        top, bottom, left, right = crop
        pictures = pictures[
            ..., round(top * height) : round(bottom * height), round(left * width) : round(right * width)
        ]
    exact = pictures.dtype
    small = functional.interpolate(pictures.float(), size=(size, size), mode="area")
    return small.round().to(exact) if exact == torch.uint8 else small.to(exact)


def augment(pictures: Tensor, brightness: float, colour: float, shift: int) -> Tensor:
    """Random brightness and colour per picture, and a random shift drawn for each quarter of the batch."""
    if shift:
        pictures = _shifted(pictures, shift)
    count, like = len(pictures), {"device": pictures.device, "dtype": pictures.dtype}
    scale = 1 + brightness * torch.randn(count, 1, 1, 1, **like)  # type: ignore[call-overload]
    return pictures * scale + colour * torch.randn(count, 3, 1, 1, **like)  # type: ignore[no-any-return,call-overload]


def _shifted(pictures: Tensor, shift: int) -> Tensor:
    size = pictures.shape[-1]
    padded = functional.pad(pictures, (shift,) * 4, mode="replicate")
    parts = []
    for part in padded.split((len(padded) + 3) // 4):
        row, column = (int(torch.randint(2 * shift + 1, ())) for _ in range(2))
        parts.append(part[..., row : row + size, column : column + size])
    return torch.cat(parts)
