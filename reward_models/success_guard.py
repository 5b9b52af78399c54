"""An independent success judge: a network of its own, fitted once and apart from the reward, with its own threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robo_reward.contracts import Needs
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.progress_fit import FitSettings
from robo_reward.reward_models.success_calibration import held
from robo_reward.seeding import derive_seed
from robo_reward.trace import Trace


class _ByHead(ProgressModel):
    """Whose success the head tells alone: no detector is trained."""

    least_refit_steps = 0


class SuccessGuard:
    """Judges finished episodes for the alarm against reward hacking and for rolling a policy back, never for reward.

    It sees what the reward's detector sees but is fitted with another seed, on demonstrations and negatives only, and
    is never refitted; so a policy that learns to fool the reward has not been trained against it. An episode succeeds
    if ``consecutive`` kept frames in a row lie above the threshold, which is set so that at most a share
    ``false_positive_rate`` of the negative frames does, and never below 0.5.
    """

    def __init__(
        self,
        views: Sequence[str],
        stride: int = 3,
        steps: int = 150,
        false_positive_rate: float = 0.01,
        consecutive: int = 2,
        encoder: str = "conv",
        settle: int = 3,
    ) -> None:
        settings = replace(FitSettings(), steps=steps, hop_weight=0.0, order_weight=0.0)
        self._model = _ByHead(views, stride, members=1, encoder=encoder, refit_steps=0, settle=settle, fit=settings)
        self.needs: Needs = self._model.needs
        self._rate, self._consecutive = false_positive_rate, consecutive
        self.threshold = 0.5

    def fit(self, demonstrations: Sequence[Trace], negatives: Sequence[Trace], seed: int) -> Mapping[str, float]:
        """Trains the network and sets the threshold."""
        self._model.fit(demonstrations, negatives, derive_seed(seed, "guard"))
        frames = [self._probability(trace) for trace in negatives]
        bound = float(np.quantile(np.concatenate(frames), 1 - self._rate)) if frames else 0.5
        least = min(float(self._final(d).mean()) for d in demonstrations)
        # a threshold above what the demonstrations themselves reach would call nothing a success
        self.threshold = float(np.clip(bound, 0.5, max(0.5, 0.95 * least)))
        return {"guard/threshold": self.threshold, "guard/demonstrated": least}

    def judge(self, trace: Trace) -> float:
        """How sure the guard is that the episode succeeded, in [0, 1]; 0.5 lies at its threshold."""
        p = held(self._probability(trace), self._consecutive)
        if len(p) == 0:
            return 0.0
        surest, low, high = p.max(), self.threshold, 1 - self.threshold
        return float(0.5 * surest / low if surest < low else 0.5 + 0.5 * (surest - low) / max(high, 1e-6))

    def moment(self, trace: Trace) -> int | None:
        """The first step from which the episode is judged a success, None if it is not."""
        over = np.flatnonzero(held(self._probability(trace), self._consecutive) >= self.threshold)
        return int(trace.frame_steps[over[0]]) if len(over) else None

    def save(self, folder: Path) -> None:
        """Writes weights and threshold into ``folder``."""
        from robo_reward.runs.checkpoint import save_state

        save_state(folder, "guard", self.state())

    def load(self, folder: Path) -> None:
        """Reads what ``save`` wrote."""
        from robo_reward.runs.checkpoint import load_state

        self.load_state(load_state(folder, "guard"))

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        return {"model": self._model.state(), "threshold": self.threshold}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        self._model.load_state(state["model"])
        self.threshold = float(state["threshold"])

    @torch.no_grad()
    def _probability(self, trace: Trace) -> NDArray[np.float32]:
        return self._model.success_by_head(trace)

    def _final(self, demonstration: Trace) -> NDArray[np.float32]:
        first = demonstration.success_step or 0
        return self._probability(demonstration)[demonstration.frame_steps >= first]
