"""Goal anchors: the last frames of the demonstrations, kept per instruction as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from robo_reward.bounds import check_numbers
from robo_reward.contracts import Frames
from robo_reward.errors import UserError
from robo_reward.trace import Trace


class GoalAnchors:
    """Instruction -> view -> (G, H, W, 3) uint8, the last frame of up to ``limit`` demonstrations each."""

    def __init__(self, limit: int = 3) -> None:
        check_numbers("reward_model=step_prm", least=1, whole=True, references=limit)
        self._limit = limit
        self._frames: dict[str, dict[str, Frames]] = {}

    def remember(self, demonstrations: Sequence[Trace], views: Sequence[str]) -> None:
        """Takes the goals of these demonstrations' instructions, in place of any that were known for them."""
        for text in sorted({d.task for d in demonstrations}):
            mine = [d for d in demonstrations if d.task == text][: self._limit]
            shared = [view for view in views if all(view in d.frames for d in mine)]
            self._frames[text] = {view: np.stack([d.frames[view][-1] for d in mine]) for view in shared}

    def of(self, text: str) -> Mapping[str, Frames] | None:
        """The goals of an instruction; None for one that no demonstration had."""
        return self._frames.get(text)

    def clear(self) -> None:
        """Forgets all goals."""
        self._frames = {}

    def __len__(self) -> int:
        return len(self._frames)

    def state(self) -> dict[str, Any]:
        """For saving."""
        return {t: {v: torch.from_numpy(f) for v, f in views.items()} for t, views in self._frames.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what ``state`` gave.

        Raises:
            UserError: for goals that are not pictures.
        """
        for text, views in state.items():
            for view, frames in views.items():
                if frames.dtype != torch.uint8 or frames.dim() != 4 or frames.shape[-1] != 3 or not len(frames):
                    raise UserError(
                        f"the goal of {text!r} in view '{view}' is {tuple(frames.shape)} {frames.dtype}, not pictures "
                        "(G, H, W, 3) uint8: this file was not written by robo-reward"
                    )
        self._frames = {t: {v: f.numpy() for v, f in views.items()} for t, views in state.items()}
