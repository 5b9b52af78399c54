"""Lets fitted progress rise throughout a demonstration: levels stay as they were fitted, stretches without rise do not.

Random episodes count as progress 0, and their hands pass where a demonstration begins: fitted by level alone, progress
lies flat there, and noise decides the order of a new scene's first frames. Only the progress head learns here, so
embeddings, hops and success remain what they were.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from robo_reward.reward_models.progress_net import ProgressNet

BATCH = 64
COPIES = 9
"""Of each picture, itself and augmented ones: their embeddings are what the head is shown."""

SLOPE = 3.0
"""The least rise of the logit over a whole demonstration; one that ran evenly from 0.05 to 0.95 would rise by 6."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Embeddings ``z`` (F, C, 64) of C copies of each frame, and the instruction vectors ``task`` (F, 32)."""

    z: Tensor
    task: Tensor

    def __len__(self) -> int:
        return len(self.z)

    def some(self, index: Tensor) -> Tensor:
        """What the head reads of the frames ``index`` (B,), one copy each: (B, 96)."""
        return torch.cat([self.z[index, torch.randint(self.z.shape[1], (len(index),))], self.task[index]], -1)


def order_progress(
    net: ProgressNet,
    demonstrated: Shown,
    label: Tensor,
    episode: Tensor,
    others: Shown,
    weight: float,
    steps: int,
    learning_rate: float,
) -> None:
    """Trains the progress head alone, on embeddings; global randomness is left as it was.

    ``label`` (F,) and ``episode`` (F,), ascending, are the demonstrated frames'. Of two frames of one episode the later
    one's logit is to be higher by ``SLOPE`` times the difference of their labels; all levels, those of ``others`` too,
    are to stay.
    """
    fitted = deepcopy(net.progress_head)
    optimizer = torch.optim.AdamW(net.progress_head.parameters(), learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1))
    start = torch.searchsorted(episode, episode)
    stop = torch.searchsorted(episode, episode, right=True)
    with torch.random.fork_rng(devices=[]):
        for _ in range(steps):
            a = torch.randint(len(demonstrated), (BATCH,))
            b = torch.minimum(start[a] + (torch.rand(BATCH) * (stop[a] - start[a])).long(), stop[a] - 1)
            rows = [demonstrated.some(a), demonstrated.some(b)]
            if len(others):
                rows.append(others.some(torch.randint(len(others), (BATCH,))))
            x = torch.cat(rows)
            logit = net.progress_head(x).squeeze(-1)
            with torch.no_grad():
                level = torch.sigmoid(fitted(x).squeeze(-1))
            apart = label[b] - label[a]
            rise = (logit[:, BATCH : 2 * BATCH] - logit[:, :BATCH]) * apart.sign()
            flat = torch.relu(SLOPE * apart.abs() - rise).mean()
            loss = (torch.sigmoid(logit) - level).square().mean() + weight * flat
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
