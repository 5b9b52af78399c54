"""Progress whose success is what the network's own head sees: for rewards that pay an episode for having succeeded."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from robo_reward.contracts import Estimate, Floats
from robo_reward.reward_models.progress import ProgressModel


class VerifiedProgress(ProgressModel):
    """As ``ProgressModel``, but p(success) is the head's that was trained with all pictures, not the detector's.

    The detector reads embeddings that were made for progress, in which a hand over the basket looks the same with and
    without something in it. The head is trained through the pictures. Fit it against ``negatives.hollow``: episodes of
    the demonstrations' very motion with nothing in the hand; and give it a view in which the difference can be seen.
    It is fitted once: ``refit`` changes nothing that it says of success.
    """

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
