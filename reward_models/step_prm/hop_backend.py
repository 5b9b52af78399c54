"""What judges the hop between two moments, and what it is shown: the border between fusion and any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Floats, Frames

NOT_GIVEN = -1
"""An anchor that a pair goes without."""


@dataclass(frozen=True, slots=True)
class HopBatch:
    """B pairs of moments among K pictured ones, so that a moment in several pairs is held (and encoded) once.

    ``frames``: view -> (K, H, W, 3) uint8, the views in the order in which the first one is the front view; a view may
    be missing. ``before``, ``after``, ``start``, ``goal`` (B,) index K; the anchors ``start`` (the episode's first
    frame) and ``goal`` (a demonstration's last frame) may be ``NOT_GIVEN``. ``task``: B instructions.
    """

    frames: Mapping[str, Frames]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    start: NDArray[np.int64]
    goal: NDArray[np.int64]
    task: Sequence[str]

    def __len__(self) -> int:
        return len(self.before)


@runtime_checkable
class HopBackend(Protocol):
    """Judges hops."""

    def hops(self, batch: HopBatch) -> Floats:
        """The signed hop (B,) float32 in [-1, 1] from ``before`` to ``after``, as ``discretise.signed_hop`` counts.

        NaN where an answer could not be read, which the backend counts in ``fallbacks``.
        """
        ...
