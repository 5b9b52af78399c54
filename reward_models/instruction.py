"""Instructions as vectors without a download: hashed character trigrams, so that similar wordings are near."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError
from robo_reward.wording import words

SIZE = 32


def embed_instruction(text: str) -> NDArray[np.float32]:
    """A unit vector (32,) float32; case, punctuation and order of words do not matter. Zero for an empty text."""
    vector = np.zeros(SIZE, np.float32)
    for word in words(text):
        padded = f"^{word}$"
        for start in range(len(padded) - 2):
            code = zlib.crc32(padded[start : start + 3].encode())
            vector[code % SIZE] += 1.0 if (code >> 16) & 1 else -1.0
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm else vector


def different_instructions(texts: Iterable[str]) -> list[str]:
    """Sorted, one text of those that differ in case and punctuation alone.

    Raises:
        UserError: two of them have other words, or the same in another order, and yet the same vector: a model could
            not tell them apart.
    """
    known: dict[bytes, str] = {}
    for text in sorted(set(texts)):
        first = known.setdefault(embed_instruction(text).tobytes(), text)
        if words(first) != words(text):
            raise UserError(
                f"the instructions {first!r} and {text!r} cannot be told apart (the order of words is not read): "
                "reword one of them in its dataset, or fit them in two models"
            )
    return list(known.values())


class KnownInstructions:
    """The instructions that a model was fitted on, and which of them a task is nearest to; the only one always is."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = tuple(texts)
        self._vectors = np.stack([embed_instruction(text) for text in texts])

    def __len__(self) -> int:
        return len(self.texts)

    def nearest(self, tasks: NDArray[np.float32]) -> NDArray[np.int64]:
        """Which one (N,) each of the instruction vectors (N, 32) is nearest to, by angle."""
        gaps = np.linalg.norm(tasks[:, None] - self._vectors[None], axis=2)  # unit vectors: chords grow with angles
        return np.asarray(gaps.argmin(1), np.int64)

    def of(self, text: str) -> int:
        """The one that is nearest to ``text``."""
        return int(self.nearest(embed_instruction(text)[None])[0])

    def exact(self, text: str) -> int | None:
        """The one that says what ``text`` says, None where none does."""
        index = self.of(text)
        return index if words(self.texts[index]) == words(text) else None
