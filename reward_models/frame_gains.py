"""Gains of models that look at single frames: what progress has changed since the last look at the same episode.

They are differences, no hops: such a model says ``gives_hops = False``.
"""

from __future__ import annotations

import numpy as np

from robo_reward.contracts import Flags, Floats


class FrameGains:
    """Remembers the last progress of N worlds; all arrays are (N,) float32, gains in [-1, 1]."""

    def __init__(self) -> None:
        self._before: Floats = np.zeros(0, np.float32)

    def begin(self, progress: Floats, fresh: Flags) -> Floats:
        """Episodes where ``fresh`` start anew: gain 0; of the others nothing is forgotten."""
        before = self._before if len(self._before) == len(fresh) else progress
        self._before = np.where(fresh, progress, before).astype(np.float32)
        return (progress - self._before).astype(np.float32)

    def step(self, progress: Floats) -> Floats:
        """Gains since the last look."""
        gain = (progress - self._before).astype(np.float32)
        self._before = progress
        return gain

    @staticmethod
    def along(progress: Floats) -> Floats:
        """Gains (F,) along one episode's frames; the first is 0."""
        return np.diff(progress, prepend=progress[:1]).astype(np.float32)
