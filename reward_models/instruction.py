"""Instructions as vectors without a download: hashed character trigrams, so that similar wordings are near."""

from __future__ import annotations

import re
import zlib

import numpy as np
from numpy.typing import NDArray

SIZE = 32


def embed_instruction(text: str) -> NDArray[np.float32]:
    """A unit vector (32,) float32; case, punctuation and order of words do not matter. Zero for an empty text."""
    vector = np.zeros(SIZE, np.float32)
    for word in re.findall(r"[a-z0-9]+", text.lower()):
        padded = f"^{word}$"
        for start in range(len(padded) - 2):
            code = zlib.crc32(padded[start : start + 3].encode())
            vector[code % SIZE] += 1.0 if (code >> 16) & 1 else -1.0
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm else vector
