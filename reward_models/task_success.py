"""Success as it is told for several instructions: a detector for each, which never sees what another task's end is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robo_reward.contracts import Floats
from robo_reward.reward_models.demonstration_memory import DemonstrationMemory
from robo_reward.reward_models.instruction import KnownInstructions
from robo_reward.reward_models.success_detector import SuccessDetector
from robo_reward.seeding import seed_everything
from robo_reward.trace import Trace

Read = Callable[[Trace], Tensor]
Losses = dict[str, float]


class TaskSuccess:
    """p(success | embedding, instruction): the detector of the instruction, or of the nearest one that was fitted."""

    def __init__(self, size: int) -> None:
        self.known = KnownInstructions([""])
        self.detectors = [SuccessDetector(size)]

    def tell_apart(self, instructions: Sequence[str]) -> None:
        """Before the first fit: a detector for each of ``instructions``, all from the same start."""
        self.known = KnownInstructions(instructions)
        self.detectors = [deepcopy(self.detectors[0]) for _ in instructions]

    def fit(self, negatives: Sequence[Trace], read: Read, memory: DemonstrationMemory, seed: int, steps: int) -> Losses:
        """``steps`` updates of each detector against the failures of its instruction.

        Without any, against all random episodes; without those, against what its demonstrations show before success. A
        wrong instruction (``counterfactual``) is a failure of the instruction that it names; one that no demonstration
        has says nothing, nor does any where a single detector reads none. ``read``: embeddings (F, Z) of an episode.
        """
        own: list[list[Trace]] = [[] for _ in self.detectors]
        for trace in negatives:
            if trace.source != "counterfactual":
                own[self.known.of(trace.task)].append(trace)
            elif len(self.known) > 1 and (named := self.known.exact(trace.task)) is not None:
                own[named].append(trace)
        random = [trace for trace in negatives if trace.source == "random"]
        if not any(own):
            return {}
        seen = [[read(trace) for trace in failures or random] for failures in own]
        return self._fit([r or [memory.of(k).early] for k, r in enumerate(seen)], memory, seed, steps)

    def refit(
        self, episodes: Sequence[Trace], read: Read, memory: DemonstrationMemory, seed: int, steps: int
    ) -> Losses:
        """The same with a policy's own episodes; detectors of other instructions than theirs stay as they are."""
        own = [[read(trace) for trace in mine] for mine in self.of_each(episodes)]
        return self._fit(own, memory, seed, steps) if episodes else {}

    def _fit(self, others: Sequence[Sequence[Tensor]], memory: DemonstrationMemory, seed: int, steps: int) -> Losses:
        losses = []
        for own, frames in enumerate(others):
            if frames:
                seed_everything(seed, "refit")
                shown = memory.of(own)
                losses.append(self.detectors[own].fit(shown.final, torch.cat(list(frames)), shown.early, steps))
        return {"refit/detector": sum(losses) / len(losses)}

    def of_each(self, episodes: Sequence[Trace]) -> list[list[Trace]]:
        """Episodes by the fitted instruction that theirs is, or is nearest to."""
        which = [self.known.of(trace.task) for trace in episodes]
        return [[t for t, k in zip(episodes, which, strict=True) if k == own] for own in range(len(self.known))]

    def probability(self, embeddings: Tensor, tasks: Tensor) -> Floats:
        """(N,) float32 in [0, 1] of embeddings (N, Z) under instruction vectors (N, 32)."""
        which = self.known.nearest(tasks.numpy())
        out = np.zeros(len(embeddings), np.float32)
        for own in np.unique(which):
            rows = which == own
            out[rows] = self.detectors[own].probability(embeddings[torch.from_numpy(rows)])
        return out

    def state(self) -> dict[str, Any]:
        """Of a single detector its own state; else that of each by its instruction."""
        if len(self.known) == 1:
            return self.detectors[0].state()
        return {"instructions": {t: d.state() for t, d in zip(self.known.texts, self.detectors, strict=True)}}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave."""
        each: Mapping[str, Any] = state.get("instructions", {"": state})
        self.tell_apart(list(each))
        for detector, held in zip(self.detectors, each.values(), strict=True):
            detector.load(held)
