"""Everything that one fit is trained on: demonstrations, a policy's judged successes, and the negatives."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robo_reward.reward_models.frames import artificial_set, negative_set, own_set, positive_set, task_vector
from robo_reward.reward_models.instruction import different_instructions
from robo_reward.reward_models.progress_fit import FrameSet, join
from robo_reward.seeding import derive_rng
from robo_reward.trace import Trace


def training_frames(
    demonstrations: Sequence[Trace],
    negatives: Sequence[Trace],
    own: Sequence[Trace],
    views: Sequence[str],
    settle: int,
    seed: int,
) -> tuple[FrameSet, FrameSet, Tensor]:
    """Positive frames, negative frames and the instructions (K, 32) that occur.

    Replays count as failures from 35% of the demonstration's time to success on: until then they look like it.
    """
    positive = [positive_set(demonstrations, views, settle)]
    artificial = artificial_set(demonstrations, views, derive_rng(seed, "artificial"))
    positive += [part for part in (artificial, own_set(own, views) if own else None) if part is not None]
    first = min(step for d in demonstrations if (step := d.success_step) is not None)
    negative = negative_set(negatives, views, hard_after=int(0.35 * first))
    tasks = torch.stack([task_vector(text) for text in different_instructions(d.task for d in demonstrations)])
    return join(positive), negative if negative is not None else empty_like(positive[0]), tasks


def empty_like(frames: FrameSet) -> FrameSet:
    """No frames, of the same shapes."""
    none = slice(0, 0)
    return FrameSet(
        frames.inputs[none], frames.progress[none], frames.success[none], frames.episode[none], frames.task[none]
    )
