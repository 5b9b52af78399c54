"""The step of flow policies that few episodes can bear: chunks are shifted where and how the better ones deviated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from robo_reward.errors import UserError
from robo_reward.policies.vla.flow import FlowField
from robo_reward.policies.vla_learning.clipped_update import ClippedUpdate, executed_mask
from robo_reward.policies.vla_learning.exploring import Decision, gathered, prepared
from robo_reward.policies.vla_learning.likelihood import FlowLikelihood, joined

NEAR = 0.2
"""Residuals are told from noisier points than this: nearer to the chunk the velocity has seen most of it already."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Of B decisions ``noisy`` chunks and what the policy that acted said there (both (B, N, K, D)), at ``t`` (B, N).

    ``residual`` (B, K, A): what each chunk said otherwise, averaged over the N, 0 where it was not executed.
    ``features`` (B, F): what the policy knew. ``seen``: encodings (B, H) if they are vectors and are not trained.
    """

    noisy: Tensor
    said: Tensor
    t: Tensor
    residual: Tensor
    features: Tensor
    seen: Tensor | None


class ShiftUpdate(ClippedUpdate):
    """Regression in place of likelihoods: velocities go to v' + D, v' being those of the policy that acted.

    A chunk with advantage A deviates from what was expected by r = noise - chunk - v'. Drawing v to v' + A r is
    DiffusionNFT's loss (arXiv 2509.16117, Eq. 5, multiplied out), but with some hundred episodes a network learns
    these noisy targets by heart: it gains on them and on others loses. So D is the ridge regression of A r on what the
    policy knew (its state and encoding), which has few enough numbers to be told, scaled to ``reach`` at most, and the
    network then learns v' + D, in which there is no noise.
    """

    def run(self, decisions: Sequence[Decision], advantages: Tensor, seed: int) -> dict[str, float]:
        """``epochs`` over ``decisions`` with ``advantages`` (B,), in an order that follows from ``seed``."""
        settings, generator = self.settings, torch.Generator().manual_seed(seed)
        self._policy.policy.eval()
        drawn = self._drawn(decisions, generator)
        weight = advantages.to(drawn.residual) / advantages.std().clamp(min=1e-6)
        shift, reached = shift_of(drawn, weight, settings.ridge, settings.strength, settings.reach)
        sums, passes = {"loss": 0.0, "gradient": 0.0}, 0
        for _ in range(settings.epochs):
            order = torch.randperm(len(decisions), generator=generator).tolist()
            for first in range(0, len(order), settings.batch):
                loss = self._distance(decisions, drawn, shift, order[first : first + settings.batch])
                row = {"loss": loss.item(), "gradient": self.step(loss)}
                passes += 1
                sums = {key: sums[key] + row[key] for key in sums}
        with torch.no_grad():
            log_ratio, random = self.log_ratio(decisions[:: max(1, len(decisions) // settings.batch)])
            moved = float(0.5 * log_ratio[random].square().mean()) if random.any() else 0.0
        told = {"steps": float(passes), "shift": reached, "kl": moved}
        return {key: value / passes for key, value in sums.items()} | told

    @torch.no_grad()
    def _drawn(self, decisions: Sequence[Decision], generator: torch.Generator) -> Drawn:
        """The policy is still the one that acted."""
        parts = []
        for first in range(0, len(decisions), self.settings.batch):
            parts.append(self._asked(decisions[first : first + self.settings.batch], generator))
        whole = [torch.cat([getattr(part, name) for part in parts]) for name in Drawn.__slots__[:-1]]
        seen = None if parts[0].seen is None else torch.cat([part.seen for part in parts if part.seen is not None])
        return Drawn(*whole, seen)

    def _asked(self, decisions: Sequence[Decision], generator: torch.Generator) -> Drawn:
        field, count, device = self._field, len(decisions), self._policy.device
        chunk = joined([d.draw for d in decisions]).chunk.to(device)
        full = functional.pad(chunk, (0, field.shape[-1] - chunk.shape[-1]))[:, None]
        noise = torch.randn((count, self.settings.draws, *field.shape), generator=generator).to(device)
        t = NEAR + (1 - NEAR) * torch.rand((count, self.settings.draws), generator=generator).to(device)
        noisy = t[..., None, None] * noise + (1 - t[..., None, None]) * full
        batch = prepared(self._policy, gathered(decisions))
        seen = field.encode(batch)
        said = torch.stack([field.velocity(seen, noisy[:, n], t[:, n]) for n in range(t.shape[1])], 1)
        mask = executed_mask(decisions, chunk.shape[1])[:, 0].to(device)
        residual = (noise - full - said).mean(1)[..., : field.actions] * mask
        state = batch[self._policy.names.theirs("state")].to(device).float()
        vector = isinstance(seen, Tensor) and seen.dim() == 2
        features = torch.cat([state, seen.float()], -1) if vector else state
        return Drawn(noisy, said, t, residual, features, seen if vector and self.settings.train == "head" else None)

    def _distance(self, decisions: Sequence[Decision], drawn: Drawn, shift: Tensor, chosen: Sequence[int]) -> Tensor:
        """The mean squared distance to what is wanted."""
        field, rows = self._field, torch.as_tensor(chosen)
        wanted = functional.pad(shift[rows], (0, field.shape[-1] - field.actions))
        noisy, said, t = drawn.noisy[rows], drawn.said[rows], drawn.t[rows]
        if drawn.seen is not None:
            seen: Any = drawn.seen[rows]
        else:
            seen = field.encode(prepared(self._policy, gathered([decisions[k] for k in chosen])))
        each = [field.velocity(seen, noisy[:, n], t[:, n]) - said[:, n] - wanted for n in range(t.shape[1])]
        return torch.stack(each)[..., : field.actions].square().mean()

    @property
    def _field(self) -> FlowField:
        if not isinstance(self._likelihood, FlowLikelihood):
            raise UserError(
                "update.way=shift regresses velocities, so it takes flow policies (head=flow): set update.way=clipped "
                "and update.lr=1e-5 for others"
            )
        return self._likelihood.field


def shift_of(drawn: Drawn, weight: Tensor, ridge: float, strength: float, reach: float) -> tuple[Tensor, float]:
    """The shift D (B, K, A) of the velocity at each decision, and its root mean square, at most ``reach``.

    Ridge regression of ``weight`` (B,) times residual on standardised features and a constant; ``ridge`` is a share
    of the features' own spread.
    """
    x = (drawn.features - drawn.features.mean(0)) / drawn.features.std(0).clamp(min=1e-3)
    x = torch.cat([x.clamp(-5, 5), torch.ones(len(x), 1, device=x.device)], -1).double()
    y = (weight[:, None] * drawn.residual.flatten(1)).double()
    gram = x.T @ x + ridge * len(x) * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    shift = strength * (x @ torch.linalg.solve(gram, x.T @ y))
    size = float(shift.square().mean().sqrt())
    kept = min(1.0, reach / max(size, 1e-9))
    return (kept * shift).to(drawn.residual).view_as(drawn.residual), kept * size
