"""Instructions as bytes, and bytes as a vector: nothing is downloaded and no word is unknown."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

PADDING = 256
REACH = 2
"""So many bytes behind a text its last byte's n-grams look at each other."""


def byte_tokens(texts: Sequence[str], length: int) -> Tensor:
    """(B, length) int64: the UTF-8 bytes of each text in lower case, then ``PADDING``. Longer texts are cut."""
    tokens = torch.full((len(texts), length), PADDING)
    for row, text in enumerate(texts):
        data = " ".join(text.lower().split()).encode()[:length]
        tokens[row, : len(data)] = torch.tensor(list(data), dtype=torch.int64)
    return tokens


class InstructionEncoder(nn.Module):
    """Byte tokens (B, L) -> (B, size): n-grams by two convolutions, averaged over the text.

    A batch holds few different instructions, so each is encoded once.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(PADDING + 1, size, padding_idx=PADDING)
        self.ngrams = nn.Sequential(nn.Conv1d(size, size, 5, padding=2), nn.ReLU(), nn.Conv1d(size, size, 5, padding=2))
        self.out = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, size), nn.ReLU())

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, size) float32; an empty text is a vector too."""
        texts, which = tokens.unique(dim=0, return_inverse=True)
        longest = int((texts != PADDING).sum(1).max())
        texts = texts[:, : longest + REACH]  # what lies behind tells nothing
        there = (texts != PADDING).float()[:, None]
        grams = functional.relu(self.ngrams(self.embedding(texts).transpose(1, 2))).float() * there
        mean = grams.sum(2) / there.sum(2).clamp(min=1)
        encoded: Tensor = self.out(mean)[which]
        return encoded
