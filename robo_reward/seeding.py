"""Seeds derived from names, so that every random draw of a run follows from one seed and nothing else."""

from __future__ import annotations

import random
import zlib

import numpy as np


def derive_seed(seed: int, *path: str | int) -> int:
    """A 32-bit seed for one purpose, e.g. ``derive_seed(0, "rollout", 17)``; different paths are independent."""
    words = [zlib.crc32(str(part).encode()) for part in path]
    return int(np.random.SeedSequence([seed & 0xFFFFFFFF, *words]).generate_state(1)[0])


def derive_rng(seed: int, *path: str | int) -> np.random.Generator:
    """A numpy generator for one purpose."""
    return np.random.default_rng(derive_seed(seed, *path))


def seed_everything(seed: int, *path: str | int) -> None:
    """Seeds python, numpy's legacy generator and torch for one purpose.

    Called at the start of every rollout and refit, so that a resumed run needs no stored generator states.
    """
    import torch

    value = derive_seed(seed, *path)
    random.seed(value)
    np.random.seed(value)  # noqa: NPY002 - libraries below us draw from it
    torch.manual_seed(value)
