"""Training samples from episodes whose pictures lie decoded in memory: a batch is a few gathers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robo_reward.errors import UserError
from robo_reward.policies.vla.features import ACTION, PLACES, STATE, VIEW_PREFIX, WAYPOINT
from robo_reward.policies.vla.waypoints import WayScale, ways
from robo_reward.trace import Trace

Shrink = Callable[[str, Tensor], Tensor]
"""Makes the pictures (F, 3, H, W) of a view smaller before they are kept."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """``picture``: number of the step's picture, ``first``: that of its episode's first; ``index``: in the dataset."""

    episode: int
    step: int
    picture: int
    first: int
    index: int


class EpisodeFrames:
    """Samples of episodes: what is seen at a step with pictures, and the actions from there on.

    Keys are LeRobot's with our camera names. Behind an episode's end the last action is repeated and marked in
    ``action_is_pad``. ``index`` counts the frames of the dataset that the episodes came from, as RA-BC's file does.
    """

    def __init__(self, views: Sequence[str], shrink: Shrink | None = None) -> None:
        self._shrink = shrink
        self._parts: dict[str, list[Tensor]] = {view: [] for view in views}
        self._states: list[NDArray[np.float32]] = []
        self._actions: list[NDArray[np.float32]] = []
        self._tasks: list[str] = []
        self._places: list[NDArray[np.float32] | None] = []
        self._ways: list[NDArray[np.float32]] = []
        self._scale: WayScale | None = None
        self._samples: list[_Sample] = []
        self._pictures = 0

    def add(self, traces: Sequence[Trace], starts: Sequence[int] | None = None, acted: bool = True) -> None:
        """Keeps episodes; ``starts``: the dataset's index of the first frame of each.

        Without ``acted`` they are still pictures: their actions are marked as if behind the end, and no waypoint told.
        """
        self._scale = None
        for number, trace in enumerate(traces):
            episode, start = len(self._states), 0 if starts is None else starts[number]
            self._samples += [
                _Sample(episode, step, self._pictures + k, self._pictures, start + step)
                for k, step in enumerate(trace.frame_steps.tolist())
                if step < len(trace)
            ]
            self._pictures += len(trace.frame_steps)
            self._states.append(trace.state)
            self._actions.append(trace.action)
            self._tasks.append(trace.task)
            self._places.append(trace.places)
            still = np.full_like(trace.state[:-1], np.nan)
            self._ways.append(ways(trace.state, trace.action) if acted else still)
            for view, parts in self._parts.items():
                pictures = torch.from_numpy(np.ascontiguousarray(trace.frames[view])).permute(0, 3, 1, 2)
                parts.append(pictures if self._shrink is None else self._shrink(view, pictures))

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def moments(self) -> list[tuple[int, int]]:
        """Of every sample the number of its episode and its step, ascending."""
        return [(sample.episode, sample.step) for sample in self._samples]

    def batch(self, chosen: Sequence[int], past: Sequence[int], ahead: Sequence[int]) -> dict[str, Any]:
        """Samples by number.

        ``past``: steps whose observations are seen (-1, 0), () for the present without a time axis; ``ahead``: steps
        whose actions are the chunk. Pictures (B[, T], 3, H, W) uint8, state (B[, T], S), action (B, K, A) float32,
        action_is_pad (B, K) bool, task, index (B,) int64; ``WAYPOINT`` (B, S) float32, deviation 1, NaN
        where none is known; ``PLACES`` (B, P) float32 where every episode tells them.
        """
        samples = [self._samples[k] for k in chosen]
        chunks = [self._chunk(sample, ahead) for sample in samples]
        batch: dict[str, Any] = {
            ACTION: torch.from_numpy(np.stack([actions for actions, _ in chunks])),
            "action_is_pad": torch.from_numpy(np.stack([padded for _, padded in chunks])),
            "task": [self._tasks[sample.episode] for sample in samples],
            "index": torch.tensor([sample.index for sample in samples]),
        }
        back = list(past) or [0]
        states = np.stack([self._states[s.episode][[max(s.step + d, 0) for d in back]] for s in samples])
        batch[STATE] = torch.from_numpy(states if past else states[:, 0])
        self._scale = self._scale or WayScale(np.concatenate(self._ways))
        nexts = np.stack([self._ways[s.episode][s.step] for s in samples])
        batch[WAYPOINT] = torch.from_numpy(self._scale(nexts))
        if all(places is not None for places in self._places):
            batch[PLACES] = torch.from_numpy(np.stack([self._places[s.episode][s.step] for s in samples]))  # type: ignore[index]
        # of earlier moments: as many kept pictures back as there are steps, within the episode
        shown = torch.tensor([[max(s.picture + d, s.first) for d in back] for s in samples])
        for view, frames in self._joined().items():
            batch[VIEW_PREFIX + view] = frames[shown if past else shown[:, 0]]
        return batch

    def _chunk(self, sample: _Sample, ahead: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        actions = self._actions[sample.episode]
        wanted = sample.step + np.asarray(ahead)
        still = bool(np.isnan(self._ways[sample.episode][0, 0]))
        return actions[wanted.clip(0, len(actions) - 1)], (wanted >= len(actions)) | (wanted < 0) | still

    def _joined(self) -> Mapping[str, Tensor]:
        for view, parts in self._parts.items():
            sizes = sorted({tuple(part.shape[2:]) for part in parts})
            if len(sizes) > 1:
                raise UserError(f"the pictures of '{view}' have several sizes: {sizes}")
            if len(parts) > 1:
                self._parts[view] = [torch.cat(parts)]
        return {view: parts[0] for view, parts in self._parts.items()}
