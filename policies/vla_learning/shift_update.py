"""The step of flow policies that few episodes can bear: chunks are shifted where and how the better ones deviated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from robo_reward.errors import UserError
from robo_reward.policies.vla.flow import readout_of
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla_learning.clipped_update import ClippedUpdate, UpdateSettings, executed_mask
from robo_reward.policies.vla_learning.exploring import Decision, gathered, prepared
from robo_reward.policies.vla_learning.likelihood import FlowLikelihood, Likelihood, joined

NEAR = 0.2
"""Residuals are told from noisier points than this: nearer to the chunk the velocity has seen most of it already."""


class ShiftUpdate(ClippedUpdate):
    """One ridge regression in place of gradient steps on likelihoods; of the policy its last layer is moved, in full.

    A chunk with advantage A deviates from what the policy expected by r = noise - chunk - v. To draw v to v + A r is
    DiffusionNFT's loss (arXiv 2509.16117, Eq. 5, multiplied out): better chunks pull, worse ones push, what says
    nothing holds. A head that is trained on it learns some hundred episodes by heart: it gains on them and not on
    others. So A r is regressed on what enters the last layer, with a ``ridge``, and the layer gets ``strength`` times
    the result, at most so much that chunks are shifted by ``reach`` (root mean square).
    """

    by_ratios = False

    def __init__(self, policy: LeRobotPolicy, likelihood: Likelihood, settings: UpdateSettings) -> None:
        """Raises UserError for policies that are no flow."""
        super().__init__(policy, likelihood, settings)
        if not isinstance(likelihood, FlowLikelihood):
            raise UserError(
                "update.way=shift regresses velocities, so it takes flow policies (head=flow): set update.way=clipped "
                "and update.lr=1e-5 for others"
            )
        self._field, self._layer = likelihood.field, readout_of(policy)
        mine = {id(p) for p in self._layer.parameters()}
        self.weights = {name: p for name, p in policy.module.named_parameters() if id(p) in mine}

    @torch.no_grad()
    def run(self, decisions: Sequence[Decision], advantages: Tensor, seed: int) -> dict[str, float]:
        """The step by ``decisions`` with ``advantages`` (B,); noise follows from ``seed``."""
        settings, generator = self.settings, torch.Generator().manual_seed(seed)
        self._policy.policy.eval()
        weight = advantages / advantages.std().clamp(min=1e-6)
        size = self._layer.in_features + 1
        gram = torch.zeros(size, size, dtype=torch.float64)
        cross = torch.zeros(size, self._layer.out_features, dtype=torch.float64)
        rows, counted = 0.0, 0.0
        for first in range(0, len(decisions), settings.batch):
            part = slice(first, first + settings.batch)
            for inputs, wanted, mask in self._asked(decisions[part], weight[part], generator):
                gram += inputs.T @ inputs
                cross += inputs.T @ wanted
                rows, counted = rows + float(mask.any(1).sum()), counted + float(mask.sum())
        change, reached = regressed(gram, cross, rows, counted, settings)
        self._layer.weight.add_(change[:-1].T.to(self._layer.weight))
        if self._layer.bias is not None:
            self._layer.bias.add_(change[-1].to(self._layer.bias))
        return {"shift": reached, "kl": self.moved(decisions), "decisions": float(len(decisions))}

    def _asked(
        self, decisions: Sequence[Decision], weight: Tensor, generator: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """For each draw what enters the last layer (R, F + 1), what is wanted of it (R, O), and where (R, O)."""
        field, device = self._field, self._policy.device
        chunk = joined([d.draw for d in decisions]).chunk.to(device)
        full = functional.pad(chunk, (0, field.shape[-1] - chunk.shape[-1]))
        mask = executed_mask(decisions, chunk.shape[1])[:, 0].expand(-1, -1, field.actions)
        mask = functional.pad(mask, (0, field.shape[-1] - field.actions)).double()
        seen = field.encode(prepared(self._policy, gathered(decisions)))
        for _ in range(self.settings.draws):
            noise = torch.randn(full.shape, generator=generator).to(device)
            t = NEAR + (1 - NEAR) * torch.rand(len(full), generator=generator).to(device)
            time = t[:, None, None]
            with entering(self._layer) as caught:
                said = field.velocity(seen, time * noise + (1 - time) * full, t)
            inputs = caught[-1].flatten(0, -2).double().cpu()
            residual = (noise - full - said).double().cpu() * mask * weight[:, None, None].double()
            where = mask.reshape(len(inputs), -1)
            known = where.any(1, keepdim=True).double()
            inputs = torch.cat([inputs, torch.ones(len(inputs), 1, dtype=torch.float64)], 1) * known
            yield inputs, residual.reshape(len(inputs), -1), where


def regressed(
    gram: Tensor, cross: Tensor, rows: float, counted: float, settings: UpdateSettings
) -> tuple[Tensor, float]:
    """The change (F + 1, O) of the last layer, and the root mean square of the shift that it makes.

    ``gram`` (F + 1, F + 1) and ``cross`` (F + 1, O) are sums over ``rows``; ``counted`` numbers of them were executed.
    """
    scale = gram.diagonal().mean() if rows else torch.ones(())
    change = settings.strength * torch.linalg.solve(
        gram + settings.ridge * scale * torch.eye(len(gram)).double(), cross
    )
    size = float(((change * (gram @ change)).sum() / max(counted, 1.0)).clamp(min=0).sqrt())
    kept = min(1.0, settings.reach / max(size, 1e-12))
    return kept * change, kept * size


@contextmanager
def entering(layer: nn.Module) -> Iterator[list[Tensor]]:
    """What enters ``layer`` meanwhile."""
    caught: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].detach()))
    try:
        yield caught
    finally:
        handle.remove()
