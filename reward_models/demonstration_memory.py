"""What a fitted reward remembers of its demonstrations: scale of the embeddings, final and early frames, the goal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from robo_reward.reward_models.frames import inputs_of, settled_step
from robo_reward.reward_models.image_encoder import augment
from robo_reward.reward_models.instruction import KnownInstructions
from robo_reward.reward_models.progress_net import EMBEDDING
from robo_reward.reward_models.saved_tensors import Shape, check_saved
from robo_reward.trace import Trace

Encode = Callable[[Tensor], Tensor]
COPIES = 8
WHAT = "what this reward model remembers of its demonstrations"


@dataclass(frozen=True, slots=True)
class DemonstrationMemory:
    """``mean``, ``std`` and ``goal`` (64,): scale of the embeddings, and the mean of the demonstrations' last ones.

    ``final`` (P, 64) settled successes and ``early`` (Q, 64) frames before success, both normalised, from the
    demonstrations and shifted copies of them. ``final_task`` (P,), ``early_task`` (Q,) int64: which instruction they
    show; None where a single one was fitted.
    """

    mean: Tensor
    std: Tensor
    final: Tensor
    early: Tensor
    goal: Tensor
    final_task: Tensor | None = None
    early_task: Tensor | None = None

    def of(self, instruction: int) -> DemonstrationMemory:
        """What one instruction's demonstrations showed."""
        if self.final_task is None or self.early_task is None:
            return self
        final, early = self.final[self.final_task == instruction], self.early[self.early_task == instruction]
        return replace(self, final=final, early=early, final_task=None, early_task=None)

    def normalise(self, z: Tensor) -> Tensor:
        """Embeddings (B, 64) in units of the demonstrations' spread, clipped to [-5, 5]."""
        return ((z - self.mean) / self.std).clamp(-5, 5)

    def state(self) -> dict[str, Tensor]:
        """For saving."""
        return {name: held for name, held in asdict(self).items() if held is not None}


def blank_memory() -> DemonstrationMemory:
    """Of a model that was not fitted."""
    none = torch.zeros(0, EMBEDDING)
    return DemonstrationMemory(torch.zeros(EMBEDDING), torch.ones(EMBEDDING), none, none, torch.zeros(EMBEDDING))


def recall(state: Mapping[str, Any]) -> DemonstrationMemory:
    """Takes back what ``DemonstrationMemory.state`` gave.

    Raises:
        UserError: for a tensor that is missing, of another shape or not finite, and for a spread that is not above 0.
    """
    one, many = (EMBEDDING,), (None, EMBEDDING)
    shapes: dict[str, Shape] = {"mean": one, "std": one, "goal": one, "final": many, "early": many}
    check_saved(WHAT, state, shapes, positive=("std",))
    of_each = {name: (len(state[name.removesuffix("_task")]),) for name in ("final_task", "early_task")}
    if of_each.keys() & state.keys():
        check_saved(WHAT, state, of_each)
    return DemonstrationMemory(**state)


@torch.no_grad()
def remember(
    encode: Encode,
    demonstrations: Sequence[Trace],
    views: Sequence[str],
    settle: int,
    shift: int,
    known: KnownInstructions,
) -> DemonstrationMemory:
    """Encodes the demonstrations once, with ``COPIES`` randomly shifted copies of their pictures."""
    inputs = [inputs_of(d, views) for d in demonstrations]
    raw = torch.cat([encode(x) for x in inputs])
    mean, std = raw.mean(0), raw.std(0).clamp(min=0.05)
    scale = DemonstrationMemory(mean, std, raw[:0], raw[:0], mean)
    final, early, goals = [], [], []
    tasks: tuple[list[Tensor], list[Tensor]] = ([], [])
    for demonstration, x in zip(demonstrations, inputs, strict=True):
        first = demonstration.success_step or 0
        settled = settled_step(demonstration, settle)
        steps = torch.from_numpy(demonstration.frame_steps)
        copies = [x] + [augment(x, shift, 0.0) for _ in range(COPIES) if x.dim() == 4]
        for copy in copies:
            z = scale.normalise(encode(copy))
            final.append(z[steps >= settled])
            early.append(z[steps < max(first, 1)])
            for kept, named in zip((final, early), tasks, strict=True):
                named.append(torch.full((len(kept[-1]),), known.of(demonstration.task)))
        goals.append(encode(x)[-1])
    which = [torch.cat(named) for named in tasks] if len(known) > 1 else [None, None]
    return DemonstrationMemory(mean, std, torch.cat(final), torch.cat(early), torch.stack(goals).mean(0), *which)
