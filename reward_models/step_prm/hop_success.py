"""Success as a detector reads it off the features of a moment: demonstrated ends against what others showed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from robo_reward.contracts import Floats
from robo_reward.reward_models.saved_tensors import Shape, check_saved
from robo_reward.reward_models.success_detector import SuccessDetector


@dataclass(frozen=True, slots=True)
class Shown:
    """What the demonstrations showed, in units of their spread: ``final`` (P, S) successes, ``early`` (Q, S) before.

    ``mean``, ``std`` (S,) are that scale.
    """

    mean: Tensor
    std: Tensor
    final: Tensor
    early: Tensor

    def normalise(self, features: Tensor) -> Tensor:
        """Features (B, S) in units of the demonstrations' spread, clipped to [-5, 5]."""
        return ((features - self.mean) / self.std).clamp(-5, 5)


class HopSuccess:
    """p(success | features (N, size)): fitted on demonstrations, refitted against a policy's own episodes."""

    def __init__(self, size: int) -> None:
        self.detector = SuccessDetector(size)
        self._shown = Shown(torch.zeros(size), torch.ones(size), torch.zeros(0, size), torch.zeros(0, size))

    def show(self, features: Sequence[Tensor], settled: Sequence[Tensor], before: Sequence[Tensor]) -> None:
        """Demonstrations' features (F, S) each, with which of their frames are settled successes, and which before."""
        together = torch.cat(list(features))
        mean, std = together.mean(0), together.std(0).clamp(min=0.05)
        scaled = ((together - mean) / std).clamp(-5, 5)
        self._shown = Shown(mean, std, scaled[torch.cat(list(settled))], scaled[torch.cat(list(before))])

    def fit(self, others: Sequence[Tensor], steps: int) -> float:
        """``steps`` updates against other episodes' features (F, S) each; the last loss."""
        if not others:
            negative = self._shown.early
        else:
            negative = torch.cat([self._shown.normalise(features) for features in others])
        return self.detector.fit(self._shown.final, negative, self._shown.early, steps)

    def probability(self, features: Tensor) -> Floats:
        """(N,) float32 in [0, 1]."""
        return self.detector.probability(self._shown.normalise(features))

    def state(self) -> dict[str, Any]:
        """For saving."""
        return {"detector": self.detector.state(), "shown": asdict(self._shown)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave. UserError for a tensor of another shape, and for numbers out of bounds."""
        self.detector.load(state["detector"])
        size = len(self._shown.mean)
        shapes: dict[str, Shape] = {"mean": (size,), "std": (size,), "final": (None, size), "early": (None, size)}
        check_saved("what this step_prm knows of its demonstrations", state["shown"], shapes, positive=("std",))
        self._shown = Shown(**state["shown"])
