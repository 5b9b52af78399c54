"""A success detector on frozen embeddings that is refitted against the policy's own frames, and its calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robo_reward.networks import mlp
from robo_reward.reward_models.success_calibration import Calibration


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """How the detector is trained; noise and weight decay keep one demonstration from being learned by heart.

    ``success_share``: share of other episodes' frames that are taken to show a success; 0 calls all of them failures.
    """

    width: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    input_noise: float = 0.3
    batch: int = 128
    positive_target: float = 0.95
    negative_target: float = 0.05
    success_share: float = 0.2


class SuccessDetector:
    """p(success | embedding): demonstrated final frames against everything else that was seen."""

    def __init__(self, size: int, settings: DetectorSettings | None = None) -> None:
        self.settings = settings or DetectorSettings()
        self.net = mlp(size, 1, self.settings.width, depth=1)
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), self.settings.learning_rate, weight_decay=self.settings.weight_decay
        )
        self.calibration = Calibration()

    def fit(
        self, positive: Tensor, unlabelled: Tensor, early: Tensor, steps: int, success_share: float | None = None
    ) -> float:
        """``steps`` updates; (P, Z) final frames, (Q, Z) other episodes' frames, (R, Z) early demonstration frames.

        Early frames are negatives. Nobody labelled the other episodes, and a policy that learns succeeds in some: taken
        as negatives, its own successes would be unlearned. They are treated as a mixture with a share of successes
        (non-negative PU learning: Kiryo et al. 2017, arXiv 1703.00593, eq. 6; for rewards Xu and Denil 2019, arXiv
        1911.00459), and make up two thirds of the negative part. ``success_share``: another one than in the
        settings; 0 for episodes that are known to be failures.
        """
        s, loss = self.settings, torch.zeros(())
        share = s.success_share if success_share is None else success_share
        others = s.batch * 2 // 3
        for _ in range(steps):
            x = torch.cat([_draw(positive, s.batch), _draw(unlabelled, others), _draw(early, s.batch - others)])
            logit = self.net(x + s.input_noise * torch.randn_like(x))[:, 0]
            loss = self._loss(logit[: s.batch], logit[s.batch : s.batch + others], logit[s.batch + others :], share)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
        return float(loss.detach())

    def _loss(self, positive: Tensor, unlabelled: Tensor, early: Tensor, share: float) -> Tensor:
        s = self.settings
        failed = _cross_entropy(unlabelled, s.negative_target)
        failed = failed - share * _cross_entropy(positive, s.negative_target)
        hidden = failed.clamp(min=0) / (1 - share)
        negative = (2 * hidden + _cross_entropy(early, s.negative_target)) / 3
        return (_cross_entropy(positive, s.positive_target) + negative) / 2

    @torch.no_grad()
    def logit(self, embeddings: Tensor) -> NDArray[np.float32]:
        """Uncalibrated logits (F,)."""
        out: NDArray[np.float32] = self.net(embeddings)[:, 0].numpy()
        return out

    def probability(self, embeddings: Tensor) -> NDArray[np.float32]:
        """Probabilities (F,) float32 in [0, 1], calibrated where ``calibration`` was fitted."""
        return self.calibration.probability(self.logit(embeddings))

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        return {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            **self.calibration.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Takes back what ``state`` gave. UserError for a calibration whose numbers are out of bounds."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        temperature, offset, threshold = state["temperature"], state["offset"], state.get("threshold", 0.5)
        self.calibration = Calibration(float(temperature), float(offset), float(threshold))


def _draw(pool: Tensor, count: int) -> Tensor:
    return pool[torch.randint(0, len(pool), (count,))]


def _cross_entropy(logit: Tensor, target: float) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logit, torch.full_like(logit, target))
