"""What frames of LeRobot's loader are worth: their place in their episode, and a partner for a hop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robo_reward.errors import UserError
from robo_reward.reward_models.frames import task_vector
from robo_reward.reward_models.instruction import different_instructions
from robo_reward.reward_models.progress_fit import FrameSet

UNDONE = 0.5
"""Below this progress a demonstration's frame is no success (Robometer's rule); above it only the last frame is one."""


@dataclass(frozen=True, slots=True)
class FrameLabels:
    """``first``, ``last`` (E,) int64: the dataset's row of each episode's first and last frame; ``tasks`` (K, 32)."""

    first: Tensor
    last: Tensor
    tasks: Tensor

    @classmethod
    def of(cls, meta: Any, tasks: Iterable[str]) -> FrameLabels:
        """From LeRobot's dataset metadata and the instructions that are trained on.

        Raises:
            UserError: for two instructions that cannot be told apart.
        """
        first = torch.as_tensor(list(meta.episodes["dataset_from_index"]))
        last = torch.as_tensor(list(meta.episodes["dataset_to_index"])) - 1
        return cls(first, last, torch.stack([task_vector(text) for text in different_instructions(tasks)]))

    def label(self, batch: Mapping[str, Any], inputs: Tensor, mismatch: float) -> tuple[FrameSet, Tensor]:
        """The batch followed by its partners, labelled, (2B, ...), and which frame of the batch each partner is, (B,).

        A share ``mismatch`` of the pairs is shown with another task's instruction, and is worth nothing under it.
        """
        episode, index = batch["episode_index"].cpu().reshape(-1), batch["index"].cpu().reshape(-1)
        # a single frame, of an episode that is only evaluated on, is its end
        steps = self.last[episode] - self.first[episode]
        progress = torch.where(steps > 0, (index - self.first[episode]) / steps.clamp(min=1), 1.0)
        success = torch.where(progress < UNDONE, 0.0, torch.nan).masked_fill(progress >= 1, 1.0)
        partner, task = _partners(episode), self.tasks_of(batch, len(episode))
        both = [torch.cat([part, part[partner]]) for part in (progress.float(), success, episode)]
        frames = FrameSet(inputs[:0], both[0], both[1], both[2], torch.cat([task, task]))
        self._mislead(frames, mismatch, len(episode))
        moved = [part.to(inputs.device) for part in (frames.progress, frames.success, frames.episode, frames.task)]
        return FrameSet(inputs[:0], *moved), partner.to(inputs.device)

    def _mislead(self, frames: FrameSet, share: float, pairs: int) -> None:
        if len(self.tasks) < 2:
            return
        for pair in torch.nonzero(torch.rand(pairs) < share).flatten().tolist():
            others = self.tasks[(self.tasks != frames.task[pair]).any(1)]
            wrong = others[int(torch.randint(len(others), (1,)))]
            for row in (pair, pair + pairs):
                frames.task[row], frames.progress[row], frames.success[row] = wrong, 0.0, 0.0

    @staticmethod
    def tasks_of(batch: Mapping[str, Any], count: int) -> Tensor:
        """The instructions as (B, 32). UserError where the batch has none."""
        texts = batch.get("task")
        texts = [texts] * count if isinstance(texts, str) else list(texts or ())
        if len(texts) != count or not all(str(text).strip() for text in texts):
            raise UserError(f"{count} frames need as many instructions that are not empty, got {texts!r}")
        return torch.stack([task_vector(str(text)) for text in texts])


def _partners(episode: Tensor) -> Tensor:
    """For each frame another one of its episode in the batch, (B,); itself where there is none."""
    same = (episode[:, None] == episode[None, :]).float()
    same.fill_diagonal_(0)
    alone = same.sum(1) == 0
    same[alone, alone.nonzero().flatten()] = 1
    return torch.multinomial(same, 1).flatten()
