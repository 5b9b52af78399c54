"""Progress whose success is what the network's own head sees: for rewards that pay an episode for having succeeded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robo_reward.contracts import Estimate, Flags, Floats, Observation, Transition
from robo_reward.errors import UserError
from robo_reward.reward_models.felt_success import Array, Feeling, FeltSuccess
from robo_reward.reward_models.frames import check_demonstrations
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.progress_net import ProgressNet, make_encoder
from robo_reward.trace import Trace

LEAST = 32
"""Pixels a side that the convolutions need."""


class VerifiedProgress(ProgressModel):
    """As ``ProgressModel``, but p(success) is the head's that was trained with all pictures, not the detector's.

    The detector reads embeddings that were made for progress, in which a hand over the basket looks the same with and
    without something in it. The head is trained through the pictures. Fit it against ``negatives.hollow``: episodes of
    the demonstrations' very motion with nothing in the hand; and give it a view in which the difference can be seen.
    It is fitted once: ``refit`` changes nothing that it says of success.

    ``size``: larger pictures are averaged by a whole factor to no fewer pixels a side before encoder=conv reads them,
    which makes fitting cheap; None: as they are. ``feels``: so many priced frames back the state vector is read too,
    and p(success) is the geometric mean of what was seen and what was felt (``FeltSuccess``); 0: pictures alone.
    ``settings``: those of ``ProgressModel``.
    """

    least_refit_steps = 0

    def __init__(
        self, views: Sequence[str], stride: int = 8, size: int | None = 64, feels: int = 0, **settings: Any
    ) -> None:
        """Raises UserError for a size that the encoder could not read, or fewer than 0 looks that are felt."""
        if size is not None and size < LEAST:
            raise UserError(f"reward_model.size={size} must be {LEAST} or more pixels a side, or null for all of them")
        if feels < 0:
            raise UserError(f"reward_model.feels={feels} must be 0 (pictures alone) or more")
        self._size, self._feels = size, feels
        self._felt: FeltSuccess | None = None
        self._feeling = Feeling(max(feels, 1))
        super().__init__(views, stride, **settings)

    def fit(
        self,
        demonstrations: Sequence[Trace],
        negatives: Sequence[Trace],
        seed: int,
        own: Sequence[Trace] = (),
    ) -> Mapping[str, float]:
        """As the progress model's, and what success feels like, by the same frames: first, for it refuses at once."""
        if not self._feels:
            return super().fit(demonstrations, negatives, seed, own)
        check_demonstrations(demonstrations, self.needs.stride)
        felt = FeltSuccess(self._feels, self.needs.stride)
        reach = felt.fit(demonstrations, negatives, self._settle)
        losses = super().fit(demonstrations, negatives, seed, own)
        self._felt = felt
        return {**losses, "fit/felt_reach": reach}

    def estimate_episode(self, trace: Trace) -> Estimate:
        """Estimates (F,) at the trace's kept frames, in one batch."""
        seen = super().estimate_episode(trace)
        return (
            seen
            if self._felt is None
            else self._both(seen, self._felt.windows(trace), [trace.task] * len(seen.success))
        )

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """Remembers the first frame of fresh episodes; estimates (N,)."""
        seen = super().begin(first, fresh)
        self._feeling.begin(first.state, fresh)
        return self._both(seen, self._feeling.windows(), first.task)

    def estimate_where(self, transition: Transition, look: Flags) -> Estimate:
        """As ``LooksApart``."""
        seen = super().estimate_where(transition, look)
        self._feeling.look(transition.after.state, look)
        return self._both(seen, self._feeling.windows(), transition.after.task)

    def state(self) -> dict[str, Any]:
        """The progress model's, with what success feels like."""
        return super().state() | ({} if self._felt is None else {"felt": self._felt.state()})

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave. UserError without what this one is set to feel."""
        super().load_state(state)
        if self._felt is None:
            return
        if "felt" not in state:
            raise UserError(f"this reward was fitted without reward_model.feels={self._feels}: fit it again, or set 0")
        self._felt.load(state["felt"])

    def _both(self, seen: Estimate, windows: Array, tasks: Sequence[str]) -> Estimate:
        """What was seen and felt; where progress alone tells success (``threshold``) nothing is felt."""
        if self._felt is None or self._threshold is not None:
            return seen
        return replace(seen, success=np.sqrt(seen.success * self._felt.probability(windows, tasks)))

    def _make_net(self) -> None:
        super()._make_net()
        self._felt = FeltSuccess(self._feels, self.needs.stride) if self._feels else None
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
