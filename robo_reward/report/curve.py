"""A progress curve, the curves of several reward models along one episode, and the numbers that sort episodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Outcome = Literal["success", "lost", "failure", "unknown"]


@dataclass(frozen=True, slots=True)
class Curve:
    """Progress along one episode: ``steps`` (F,) ascending, ``progress`` (F,) in [0, 1].

    ``uncertainty`` (F,) >= 0 is drawn as a band; ``success`` says how the episode really ended, None where
    nobody knows. ``gain`` (F,) in [-1, 1] is the signed hop from the frame before; ``claimed`` (F,) the model's own
    probability of success; ``milestones`` (M,) the steps from which the model measures its hops.
    """

    steps: NDArray[np.int64]
    progress: NDArray[np.float32]
    uncertainty: NDArray[np.float32] | None = None
    success: bool | None = None
    gain: NDArray[np.float32] | None = None
    claimed: NDArray[np.float32] | None = None
    milestones: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def row_at(self, steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each step the row of the last priced frame up to it; the first row before any."""
        return np.maximum(np.searchsorted(self.steps, steps, side="right") - 1, 0)


@dataclass(frozen=True, slots=True)
class PricedEpisode:
    """One episode and what each reward model said of it.

    ``views``: camera name -> (F, H, W, 3) uint8 at ``steps`` (F,); empty where nothing was seen. ``curves``: model name
    -> curve, each at its own steps. ``index``: the number in its dataset, None for a video. ``success_step``: the first
    step annotated as success; ``lost_step``: the first one after the last success, where the episode ends without it,
    None where it lasts. ``fps``: steps per second.
    """

    name: str
    task: str
    fps: float
    steps: NDArray[np.int64]
    views: Mapping[str, Frames]
    curves: Mapping[str, Curve]
    index: int | None = None
    success: bool | None = None
    success_step: int | None = None
    lost_step: int | None = None

    @property
    def outcome(self) -> Outcome:
        """How it really went: ``lost`` is a success that was there and is gone at the end."""
        if self.success is None:
            return "unknown"
        return "failure" if not self.success else "success" if self.lost_step is None else "lost"

    @property
    def success_at_end(self) -> bool | None:
        """Whether the last state is a success; None where nobody knows."""
        return None if self.success is None else self.outcome == "success"

    @property
    def final(self) -> float:
        """The progress at the end, the mean of the models."""
        return float(np.mean([curve.progress[-1] for curve in self.curves.values()]))

    @property
    def disagreement(self) -> float | None:
        """How far the models are apart (highest minus lowest), the mean over the steps.

        With one model the mean of its own uncertainty; None where it tells none.
        """
        if len(self.curves) > 1:
            held = np.stack([c.progress[c.row_at(self.steps)] for c in self.curves.values()])
            return float(np.mean(held.max(0) - held.min(0)))
        only = next(iter(self.curves.values())).uncertainty
        return None if only is None else float(only.mean())

    @property
    def miss(self) -> float | None:
        """Distance of the final progress from the truth at the end (1 success, 0 none); None where nobody knows it."""
        return None if self.success_at_end is None else abs(float(self.success_at_end) - self.final)

    @property
    def shown_fps(self) -> float:
        """Frames per second at which the kept frames play in real time."""
        apart = float(np.median(np.diff(self.steps))) if len(self.steps) > 1 else 1.0
        return self.fps / apart

    def side_by_side(self) -> Frames | None:
        """All views in a row (F, H, W, 3) uint8, as high as the highest; None without views."""
        if not self.views:
            return None
        height = max(view.shape[1] for view in self.views.values())
        return np.concatenate([scaled_to(view, height) for view in self.views.values()], axis=2)


def scaled_to(view: Frames, height: int) -> Frames:
    """Frames (F, H, W, 3) uint8 scaled to ``height`` rows with their aspect kept."""
    from PIL import Image

    if view.shape[1] == height:
        return view
    shape = (max(1, round(view.shape[2] * height / view.shape[1])), height)
    return np.stack([np.asarray(Image.fromarray(f).resize(shape, Image.Resampling.LANCZOS)) for f in view])
