"""A small action-conditioned world model in a policy's own latents: what it would see after a chunk of actions.

After V-JEPA2-AC (arXiv 2506.09985) as NORA-1.5 uses it (arXiv 2511.14659): a frozen encoder, layer-normed latents, a
predictor with teacher-forced and autoregressive L1 losses. Here the encoder is the frozen policy's trunk, a prediction
covers a whole executed chunk, and the network is an MLP that is fitted in a minute on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from robo_reward.errors import UserError


@dataclass(frozen=True, slots=True)
class WorldSettings:
    """``steps`` of ``batch`` transitions at ``lr``; ``hidden`` units; ``ahead``: the goal lies so many chunks later in
    the demonstration (None: its last frame, as in NORA-1.5, which tells little far away from it)."""

    steps: int = 1500
    batch: int = 128
    lr: float = 1e-3
    hidden: int = 256
    ahead: int | None = 2

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.hidden) < 1 or self.lr <= 0:
            raise UserError(
                f"world.steps={self.steps}, batch={self.batch} and hidden={self.hidden} must be 1 or more, "
                f"lr={self.lr} above 0"
            )
        if self.ahead is not None and self.ahead < 1:
            raise UserError(f"world.ahead={self.ahead} must be 1 chunk or more, or null for the last frame")


@dataclass(frozen=True, slots=True)
class Hops:
    """Transitions of recorded episodes: ``latents`` (M, F) of all moments, normed; ``chunks`` (M, n, A) done there.

    ``after`` (M,): the moment that a chunk led to, -1 where none was recorded; ``goal`` (M,): the moment that is worth
    reaching from there.
    """

    latents: Tensor
    chunks: Tensor
    after: Tensor
    goal: Tensor


class LatentWorld(nn.Module):
    """Latents (B, F) and chunks (B, n, A) in normalised units -> latents (B, F) after them, layer-normed."""

    def __init__(self, features: int, chunk: tuple[int, int], hidden: int = 256) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(features + chunk[0] * chunk[1], hidden),
            nn.LayerNorm(hidden),
            nn.SiLU(),
            nn.Linear(hidden, hidden),
            nn.SiLU(),
            nn.Linear(hidden, features),
        )
        nn.init.zeros_(self.net[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.net[-1].bias)  # type: ignore[arg-type]

    def forward(self, latents: Tensor, chunks: Tensor) -> Tensor:
        """It begins as the world in which nothing moves."""
        after: Tensor = normed(latents + self.net(torch.cat([latents, chunks.flatten(1)], -1)))
        return after


def normed(latents: Tensor) -> Tensor:
    """Layer norm without parameters: the same for predictions and goals, so that distances compare."""
    return functional.layer_norm(latents, latents.shape[-1:])


def fit_world(world: LatentWorld, hops: Hops, settings: WorldSettings, seed: int) -> Mapping[str, float]:
    """L1 of one chunk ahead, teacher-forced, and of two, on its own prediction.

    Returns ``world/loss`` of one chunk on all transitions afterwards, and ``world/still``: that of a world in which
    nothing moves, which it should be well below.

    Raises:
        UserError: no recorded chunk ends in a recorded picture.
    """
    first = torch.nonzero(hops.after >= 0).flatten()
    if len(first) == 0:
        raise UserError(
            "no picture was recorded a chunk after another one, so no world can be learned: record every picture "
            "(recording.every=1), or as many steps apart as divide policy.n_action_steps"
        )
    optimizer = torch.optim.AdamW(world.parameters(), settings.lr, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(settings.steps):
        chosen = first[torch.randint(len(first), (settings.batch,), generator=generator)]
        loss = _loss(world, hops, chosen)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        truth = hops.latents[hops.after[first]]
        found = (world(hops.latents[first], hops.chunks[first]) - truth).abs().mean()
        still = (hops.latents[first] - truth).abs().mean()
    return {"world/loss": float(found), "world/still": float(still)}


def _loss(world: LatentWorld, hops: Hops, chosen: Tensor) -> Tensor:
    one = hops.after[chosen]
    seen = world(hops.latents[chosen], hops.chunks[chosen])
    loss: Tensor = (seen - hops.latents[one]).abs().mean()
    goes_on = hops.after[one] >= 0
    if goes_on.any():
        two = world(seen[goes_on], hops.chunks[one[goes_on]])
        loss = loss + (two - hops.latents[hops.after[one[goes_on]]]).abs().mean()
    return loss
