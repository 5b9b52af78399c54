"""The regression step of flow policies: better episodes draw the velocity towards their chunks, worse ones push it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from robo_reward.errors import UserError
from robo_reward.policies.vla_learning.clipped_update import ClippedUpdate, executed_mask
from robo_reward.policies.vla_learning.exploring import Decision, gathered, prepared
from robo_reward.policies.vla_learning.likelihood import FlowLikelihood, joined


@dataclass(frozen=True, slots=True)
class Drawn:
    """What an update regresses on. ``noisy``, ``target`` (B, N, K, D): noisy chunks and velocities; ``t`` (B, N);
    ``mask`` (B, K, 1): what was executed."""

    noisy: Tensor
    target: Tensor
    t: Tensor
    mask: Tensor


class ForwardUpdate(ClippedUpdate):
    """Steps by flow matching alone: no likelihood of what was drawn is asked, only the chunks and their advantages.

    Where a chunk with advantage A says the velocity u = noise - chunk at a noisy point and the policy that acted said
    v', the loss is the squared distance to v' + strength A (u - v'). Multiplied out that is DiffusionNFT's pair of
    implicit policies (arXiv 2509.16117, Eq. 5) with beta = 1 / strength and 2 r - 1 = A: better chunks pull, worse ones
    push, and v' holds whatever says nothing. The whole deviation of a chunk from what was expected counts, its first
    noise's part too, which a likelihood of the random steps cannot see.
    """

    def run(self, decisions: Sequence[Decision], advantages: Tensor, seed: int) -> dict[str, float]:
        """Several passes over ``decisions`` with ``advantages`` (B,), in an order that follows from ``seed``."""
        settings, generator = self.settings, torch.Generator().manual_seed(seed)
        self._policy.policy.eval()
        drawn = self._drawn(decisions, advantages, generator)
        sums, passes, moved = {"loss": 0.0, "gradient": 0.0}, 0, 0.0
        for _ in range(settings.epochs):
            order = torch.randperm(len(decisions), generator=generator).tolist()
            for first in range(0, len(order), settings.batch):
                chosen = order[first : first + settings.batch]
                loss = self._distance([decisions[k] for k in chosen], drawn, chosen)
                row = {"loss": loss.item(), "gradient": self.step(loss)}
                passes += 1
                sums = {key: sums[key] + row[key] for key in sums}
        with torch.no_grad():
            log_ratio, random = self.log_ratio(decisions[:: max(1, len(decisions) // settings.batch)])
            moved = float(0.5 * log_ratio[random].square().mean()) if random.any() else 0.0
        return {key: value / passes for key, value in sums.items()} | {"steps": float(passes), "kl": moved}

    @torch.no_grad()
    def _drawn(self, decisions: Sequence[Decision], advantages: Tensor, generator: torch.Generator) -> Drawn:
        """Noise and times for every decision, and what is wanted there; the policy is still the one that acted."""
        parts = []
        for first in range(0, len(decisions), self.settings.batch):
            k = slice(first, first + self.settings.batch)
            parts.append(self._wanted(decisions[k], advantages[k], generator))
        return Drawn(*(torch.cat([getattr(part, name) for part in parts]) for name in Drawn.__slots__))

    def _wanted(self, decisions: Sequence[Decision], advantages: Tensor, generator: torch.Generator) -> Drawn:
        field, count, device = self._field, len(decisions), self._policy.device
        chunk = joined([d.draw for d in decisions]).chunk.to(device)
        full = functional.pad(chunk, (0, field.shape[-1] - chunk.shape[-1]))[:, None]
        noise = torch.randn((count, self.settings.draws, *field.shape), generator=generator).to(device)
        t = 0.001 + 0.999 * torch.rand((count, self.settings.draws), generator=generator).to(device)
        time = t[..., None, None]
        noisy = time * noise + (1 - time) * full
        seen = field.encode(prepared(self._policy, gathered(decisions)))
        said = torch.stack([field.velocity(seen, noisy[:, n], t[:, n]) for n in range(t.shape[1])], 1)
        pull = self.settings.strength * advantages.to(said)[:, None, None, None]
        target = said + pull * (noise - full - said)
        return Drawn(noisy, target, t, executed_mask(decisions, chunk.shape[1])[:, 0].to(device))

    def _distance(self, decisions: Sequence[Decision], drawn: Drawn, chosen: Sequence[int]) -> Tensor:
        """The mean squared distance to what is wanted, over executed numbers."""
        field, rows = self._field, torch.as_tensor(chosen)
        noisy, target, t = drawn.noisy[rows], drawn.target[rows], drawn.t[rows]
        mask = drawn.mask[rows]
        seen = field.encode(prepared(self._policy, gathered(decisions)))
        each = []
        for n in range(t.shape[1]):
            error = field.velocity(seen, noisy[:, n], t[:, n]) - target[:, n]
            each.append((error[..., : field.actions].square() * mask).sum((1, 2)))
        numbers = (mask.sum((1, 2)) * field.actions).clamp(min=1)
        return (torch.stack(each).mean(0) / numbers).mean()

    @property
    def _field(self) -> Any:
        if not isinstance(self._likelihood, FlowLikelihood):
            raise UserError("update.way=forward matches velocities, so it takes flow policies (head=flow)")
        return self._likelihood.field
