"""The frames that a success classifier has been shown, as embeddings: some to learn from, some only to calibrate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from robo_reward.reward_models.progress_net import EMBEDDING
from robo_reward.reward_models.saved_tensors import check_saved

CAPACITY = 20_000
"""Frames of each kind that are kept, the newest: 5 MB."""


def _none() -> Tensor:
    return torch.zeros(0, EMBEDDING)


@dataclass(slots=True)
class SuccessExamples:
    """Embeddings (., 64): ``positive`` and ``negative`` to learn from, ``held_`` ones for calibration alone."""

    positive: Tensor = field(default_factory=_none)
    negative: Tensor = field(default_factory=_none)
    held_positive: Tensor = field(default_factory=_none)
    held_negative: Tensor = field(default_factory=_none)

    def add(self, positive: Tensor, negative: Tensor) -> None:
        """To learn from."""
        self.positive = torch.cat([self.positive, positive])[-CAPACITY:]
        self.negative = torch.cat([self.negative, negative])[-CAPACITY:]

    def hold(self, positive: Tensor, negative: Tensor) -> None:
        """For calibration."""
        self.held_positive = torch.cat([self.held_positive, positive])[-CAPACITY:]
        self.held_negative = torch.cat([self.held_negative, negative])[-CAPACITY:]

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> SuccessExamples:
        """Takes back what ``state`` gave. UserError for a tensor that is missing, of another shape or not finite."""
        names = [field.name for field in fields(cls)]
        check_saved("the frames that this classifier was shown", state, {name: (None, EMBEDDING) for name in names})
        return cls(**state)

    def state(self) -> dict[str, Tensor]:
        """For saving."""
        return asdict(self)
