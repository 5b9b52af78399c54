"""Progress whose success is what the network's own head sees: for rewards that pay an episode for having succeeded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from robo_reward.contracts import Estimate, Floats
from robo_reward.errors import UserError
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.progress_net import ProgressNet, make_encoder

LEAST = 32
"""Pixels a side that the convolutions need."""


class VerifiedProgress(ProgressModel):
    """As ``ProgressModel``, but p(success) is the head's that was trained with all pictures, not the detector's.

    The detector reads embeddings that were made for progress, in which a hand over the basket looks the same with and
    without something in it. The head is trained through the pictures. Fit it against ``negatives.hollow``: episodes of
    the demonstrations' very motion with nothing in the hand; and give it a view in which the difference can be seen.
    It is fitted once: ``refit`` changes nothing that it says of success.

    ``size``: larger pictures are averaged by a whole factor to no fewer pixels a side before encoder=conv reads them,
    which makes fitting cheap; None: as they are. ``settings``: those of ``ProgressModel``.
    """

    def __init__(self, views: Sequence[str], stride: int = 8, size: int | None = 64, **settings: Any) -> None:
        """Raises UserError for a size that the encoder could not read."""
        if size is not None and size < LEAST:
            raise UserError(f"reward_model.size={size} must be {LEAST} or more pixels a side, or null for all of them")
        self._size = size
        super().__init__(views, stride, **settings)

    def _make_net(self) -> None:
        super()._make_net()
        height, width = self._shape["height"], self._shape["width"]
        factor = 1 if self._size is None else min(height, width) // self._size
        if self._encoder_name != "conv" or factor < 2:
            return
        small = {**self._shape, "height": height // factor, "width": width // factor}
        encoder = make_encoder("conv", len(self.needs.views), **small)
        self._net = ProgressNet(nn.Sequential(nn.AvgPool2d(factor), encoder), self._members).eval()

    @torch.no_grad()
    def _estimate(
        self,
        first: Tensor,
        before: Tensor,
        z: Tensor,
        task: Tensor,
        walked: Floats | None = None,
        held: Floats | None = None,
    ) -> Estimate:
        seen = super()._estimate(first, before, z, task, walked, held)
        if held is not None:
            return seen
        success: Floats = torch.sigmoid(self.net.success_logit(z, task).mean(0)).numpy()
        return replace(seen, success=success)
