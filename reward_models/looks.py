"""Embeddings of what is looked at, look by look: what shows the same keeps the embedding that it had.

Computed anew it would differ in its last bits, which follow the size of the batch, and a robot that stands still would
be paid for the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robo_reward.contracts import Flags, Observation
from robo_reward.reward_models.frames import inputs_of
from robo_reward.reward_models.image_encoder import stack_views
from robo_reward.trace import Trace

Seen = Mapping[str, NDArray[Any]]
"""What N looks show: view -> (N, H, W, 3) uint8; to a reward without views the states alone, (N, S) float32."""
Encode = Callable[[Tensor], Tensor]
_STATE = "observation.state"


def seen_in(observation: Observation, views: Sequence[str]) -> Seen:
    """What a reward that reads ``views`` sees of N worlds."""
    return {view: observation.views[view] for view in views} or {_STATE: observation.state}


def seen_along(trace: Trace, views: Sequence[str]) -> Seen:
    """The same of a trace's kept frames (F)."""
    return {view: trace.frames[view] for view in views} or {_STATE: trace.state[trace.frame_steps]}


def alike(one: Seen, other: Seen) -> Flags:
    """(N,) whether N looks show just what N others do, in all views or states of ``one``."""
    same = [(shown == other[name]).all(tuple(range(1, shown.ndim))) for name, shown in one.items()]
    return np.asarray(np.logical_and.reduce(same), bool)


def embed_episode(encode: Encode, trace: Trace, views: Sequence[str]) -> Tensor:
    """Embeddings (F, size) of the trace's kept frames, in one batch."""
    z, index = encode(inputs_of(trace, views)), np.arange(len(trace.frame_steps))
    shown = seen_along(trace, views)
    index[1:][alike(_rows(shown, slice(0, -1)), _rows(shown, slice(1, None)))] = 0
    return z[torch.from_numpy(np.maximum.accumulate(index))]


class Looks:
    """What N worlds showed: ``first`` and ``before`` (N, size), embeddings of an episode's first and its last look."""

    def __init__(self, size: int) -> None:
        self.first = self.before = torch.zeros(0, size)
        self._seen: dict[str, NDArray[Any]] = {}
        self._known = np.zeros(0, bool)

    def forget(self) -> None:
        """What is seen next is encoded whatever it shows: the encoder is another one."""
        self._seen = {}

    def begin(self, encode: Encode, seen: Seen, fresh: Flags) -> Tensor:
        """Embeddings (N, size) of all worlds, remembered as first look where ``fresh`` (N,) is True."""
        if len(self.first) != len(fresh):
            fresh = np.ones(len(fresh), bool)
            self.first, self.before = torch.zeros(2, len(fresh), self.first.shape[1])
            self.forget()
        z = self._embed(encode, seen, self._changed(seen) | fresh)
        self.first[torch.from_numpy(fresh)] = z[torch.from_numpy(fresh)]
        self.remember(seen, z, fresh)
        return z

    def at(self, encode: Encode, seen: Seen, look: Flags) -> Tensor:
        """Embeddings (N, size) where ``look`` (N,) is True; elsewhere those of the last look."""
        return self._embed(encode, seen, self._changed(seen) & look)

    def remember(self, seen: Seen, z: Tensor, look: Flags) -> None:
        """That worlds where ``look`` (N,) is True have shown ``seen``, embedded as ``z`` (N, size)."""
        where = torch.from_numpy(look)
        self.before[where] = z[where]
        if not self._comparable(seen):
            self._seen = {name: np.array(shown) for name, shown in seen.items()}
            self._known = np.zeros(len(look), bool)
        for name, shown in seen.items():
            self._seen[name][look] = shown[look]
        self._known |= look

    def _embed(self, encode: Encode, seen: Seen, anew: Flags) -> Tensor:
        z = self.before.clone()
        if anew.any():
            rows = _rows(seen, anew)
            inputs = torch.from_numpy(rows[_STATE]) if _STATE in rows else stack_views(rows, list(rows))
            z[torch.from_numpy(anew)] = encode(inputs)
        return z

    def _changed(self, seen: Seen) -> Flags:
        if not self._comparable(seen):
            return np.ones(len(self.before), bool)
        return ~(self._known & alike(self._seen, seen))

    def _comparable(self, seen: Seen) -> bool:
        return {k: v.shape for k, v in seen.items()} == {k: v.shape for k, v in self._seen.items()}


def _rows(seen: Seen, where: Any) -> dict[str, NDArray[Any]]:
    return {name: shown[where] for name, shown in seen.items()}
