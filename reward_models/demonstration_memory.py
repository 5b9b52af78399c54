"""What a fitted reward remembers of its demonstrations: scale of the embeddings, final and early frames, the goal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from robo_reward.reward_models.frames import inputs_of, settled_step
from robo_reward.reward_models.image_encoder import augment
from robo_reward.reward_models.progress_net import EMBEDDING
from robo_reward.trace import Trace

Encode = Callable[[Tensor], Tensor]
COPIES = 8


@dataclass(frozen=True, slots=True)
class DemonstrationMemory:
    """``mean``, ``std`` and ``goal`` (64,): scale of the embeddings, and the mean of the demonstrations' last ones.

    ``final`` (P, 64) settled successes and ``early`` (Q, 64) frames before success, both normalised, from the
    demonstrations and shifted copies of them.
    """

    mean: Tensor
    std: Tensor
    final: Tensor
    early: Tensor
    goal: Tensor

    def normalise(self, z: Tensor) -> Tensor:
        """Embeddings (B, 64) in units of the demonstrations' spread, clipped to [-5, 5]."""
        return ((z - self.mean) / self.std).clamp(-5, 5)

    def state(self) -> dict[str, Tensor]:
        """For saving."""
        return asdict(self)


def blank_memory() -> DemonstrationMemory:
    """Of a model that was not fitted."""
    none = torch.zeros(0, EMBEDDING)
    return DemonstrationMemory(torch.zeros(EMBEDDING), torch.ones(EMBEDDING), none, none, torch.zeros(EMBEDDING))


@torch.no_grad()
def remember(
    encode: Encode, demonstrations: Sequence[Trace], views: Sequence[str], settle: int, shift: int
) -> DemonstrationMemory:
    """Encodes the demonstrations once, with ``COPIES`` randomly shifted copies of their pictures."""
    inputs = [inputs_of(d, views) for d in demonstrations]
    raw = torch.cat([encode(x) for x in inputs])
    mean, std = raw.mean(0), raw.std(0).clamp(min=0.05)
    scale = DemonstrationMemory(mean, std, raw[:0], raw[:0], mean)
    final, early, goals = [], [], []
    for demonstration, x in zip(demonstrations, inputs, strict=True):
        first = demonstration.success_step or 0
        settled = settled_step(demonstration, settle)
        steps = torch.from_numpy(demonstration.frame_steps)
        copies = [x] + [augment(x, shift, 0.0) for _ in range(COPIES) if x.dim() == 4]
        for copy in copies:
            z = scale.normalise(encode(copy))
            final.append(z[steps >= settled])
            early.append(z[steps < max(first, 1)])
        goals.append(encode(x)[-1])
    return DemonstrationMemory(mean, std, torch.cat(final), torch.cat(early), torch.stack(goals).mean(0))
