"""What a camera sees, as a vector: where in the picture that is what the words ask for, and what is there anyhow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

SHARPNESS = 10.0
"""First sharpness of the keypoints' softmax; it is learned. With 1 the network hardly learns where things are."""
CERTAINTY = 20.0
"""First factor of the cosines between what is asked and what is there; it is learned."""
KEY = 64
"""Numbers that a place of the picture and a question are compared by."""
VALUE = 16
"""Numbers that are read where a question is answered."""


@dataclass(frozen=True, slots=True)
class Seen:
    """``answers`` (R, Q, h, w): log-probabilities of where each question points; ``places`` (R, 2 Q) float32: their
    means, from -1 to 1; ``rest`` (R, F) float32: how sure they are, what is there, what the picture shows anyhow."""

    answers: Tensor
    places: Tensor
    rest: Tensor


class CameraEncoder(nn.Module):
    """Pictures (B, 3, S, S) in [-0.5, 0.5] and words (R, W) -> ``Seen``.

    Convolutions look at a picture once, whatever is asked. ``questions``: the words become so many vectors, each is
    compared with every place (cosine), and a softmax over the places says where it points: that place, how sure it is
    (in nats), and what is there. Beside that, of the picture alone: keypoints (Finn et al. 2016) and pooled features.
    """

    coordinates: Tensor

    def __init__(self, image_size: int, channels: int, keypoints: int, words: int, questions: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.first = nn.Conv2d(5, channels, 5, 2, 2)
        self.second = nn.Conv2d(channels, wide, 3, 2, 1)
        self.third = nn.Conv2d(wide, wide, 3, 1, 1)
        self.norms = nn.ModuleList([nn.GroupNorm(8, channels), nn.GroupNorm(8, wide), nn.GroupNorm(8, wide)])
        self.questions = nn.Linear(words, questions * KEY)
        self.keys = nn.Conv2d(wide, KEY, 1)
        self.values = nn.Conv2d(wide, VALUE, 1)
        self.certainty = nn.Parameter(torch.full((1,), CERTAINTY).log())
        self.maps = nn.Conv2d(wide, keypoints, 1)
        self.pooled = nn.Conv2d(wide, 4 * channels, 3, 2, 1)
        self.sharpness = nn.Parameter(torch.full((1,), SHARPNESS))
        line = torch.linspace(-1, 1, image_size)
        self.register_buffer("coordinates", torch.stack(torch.meshgrid(line, line, indexing="xy")), persistent=False)
        self.places, self.rest = 2 * questions, (1 + VALUE) * questions + 2 * keypoints + 4 * channels

    def forward(self, pictures: Tensor, words: Tensor, shown: Tensor | None = None) -> Seen:
        """``shown`` (R,) int64: which picture the words of each row are about; None: row for row."""
        x = self._look(pictures)
        keys, values, maps = (part(x).float().flatten(2) for part in (self.keys, self.values, self.maps))
        pooled, asked = functional.relu(self.pooled(x)).float().mean((2, 3)), self.questions(words).float()
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 would tell places to no more than half a percent
            keys = functional.normalize(keys, dim=1)  # before they are repeated: each once
            answers = self._answers(asked, keys if shown is None else keys[shown])
            weights, size = answers.exp(), x.shape[-2:]
            there = weights @ (values if shown is None else values[shown]).transpose(1, 2)
            keypoints = _places((maps * self.sharpness).softmax(-1), size)
            places = _places(weights, size).flatten(1)
        anyhow = torch.cat([keypoints.flatten(1), pooled], -1)
        rest = [answers.amax(-1), there.flatten(1), anyhow if shown is None else anyhow[shown]]
        return Seen(answers.unflatten(-1, size), places, torch.cat(rest, -1))

    def _look(self, pictures: Tensor) -> Tensor:
        """(B, C, h, w)."""
        place = self.coordinates.to(pictures.dtype).expand(len(pictures), -1, -1, -1)
        # not channels_last: group normalisation is ten times slower in it, and convolutions hardly faster
        x = torch.cat([pictures, 0.5 * place], 1).contiguous()
        x = functional.relu(self.norms[0](self.first(x)))
        x = functional.relu(self.norms[1](self.second(x)))
        seen: Tensor = x + functional.relu(self.norms[2](self.third(x)))
        return seen

    def _answers(self, asked: Tensor, keys: Tensor) -> Tensor:
        """(R, Q, h w): log-probabilities of the places, of keys (R, KEY, h w) of length 1."""
        alike = functional.normalize(asked.unflatten(-1, (-1, KEY)), dim=2) @ keys
        return (alike * self.certainty.exp()).log_softmax(-1)


def _places(weights: Tensor, size: Sequence[int]) -> Tensor:
    """(..., 2): the mean place (x, y) under weights (..., h w), from -1 to 1 where the picture's edges are."""
    height, width = size
    y = middles(height, weights).repeat_interleave(width)
    x = middles(width, weights).repeat(height)
    return 2 * torch.stack([weights @ x, weights @ y], -1) - 1


def middles(count: int, like: Tensor) -> Tensor:
    """(count,): the middles of so many cells, as shares of a side."""
    return (torch.arange(count, device=like.device, dtype=like.dtype) + 0.5) / count


def pointing_loss(answers: Tensor, points: Tensor) -> Tensor:
    """Cross-entropy (R,) of log-probabilities (R, K, h, w) with points (R, K, 2): shares from left and top.

    A point's weight is shared by the four cells around it, bilinearly, so that the best answer's mean is the point
    itself and not the middle of its cell. Points outside [0, 1] or NaN do not count; the rest are summed.
    """
    size = torch.tensor([answers.shape[-1], answers.shape[-2]], device=points.device)
    inside = ((points >= 0) & (points <= 1)).all(-1)
    at = points.where(inside[..., None], torch.zeros_like(points)) * size - 0.5
    low = at.floor()
    part, loss = at - low, torch.zeros_like(at[..., 0])
    for right in (0, 1):
        for down in (0, 1):
            corner = torch.tensor([right, down], device=points.device)
            cell = (low.long() + corner).clamp(min=0).minimum(size - 1)
            weight = (corner * part + (1 - corner) * (1 - part)).prod(-1)
            number = cell[..., 1] * answers.shape[-1] + cell[..., 0]
            loss = loss - weight * answers.flatten(2).gather(-1, number[..., None])[..., 0]
    return (loss * inside).sum(-1)


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


def in_crop(points: Tensor, crop: Sequence[float] | None = None) -> Tensor:
    """Shares (..., 2) of a whole picture, from left and top, as shares of what a crop keeps of it."""
    if crop is None:
        return points
    top, bottom, left, right = crop
    return (points - points.new_tensor([left, top])) / points.new_tensor([right - left, bottom - top])


def augment(pictures: Tensor, brightness: float, colour: float) -> Tensor:
    """Random brightness and colour per picture."""
    count, like = len(pictures), {"device": pictures.device, "dtype": pictures.dtype}
    scale = 1 + brightness * torch.randn(count, 1, 1, 1, **like)  # type: ignore[call-overload]
    return pictures * scale + colour * torch.randn(count, 3, 1, 1, **like)  # type: ignore[no-any-return,call-overload]


def shifted(pictures: Tensor, shift: int) -> tuple[Tensor, Tensor]:
    """Pictures shifted at random by up to ``shift`` pixels, drawn for each quarter of the batch.

    With them (B, 2): by how much, as shares of the picture to the right and down.
    """
    size = pictures.shape[-1]
    padded = functional.pad(pictures, (shift,) * 4, mode="replicate")
    parts, moved = [], []
    for part in padded.split((len(padded) + 3) // 4):
        row, column = (int(torch.randint(2 * shift + 1, ())) for _ in range(2))
        parts.append(part[..., row : row + size, column : column + size])
        by = torch.tensor([shift - column, shift - row], device=pictures.device) / size
        moved.append(by.expand(len(part), 2))
    return torch.cat(parts), torch.cat(moved)
