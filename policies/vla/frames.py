"""Training samples from episodes whose pictures lie decoded in memory: a batch is a few gathers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robo_reward.data.recording import check_moments
from robo_reward.errors import UserError
from robo_reward.policies.vla.features import ACTION, PLACES, POINTS, SHOWN, STATE, WAYPOINT, full_key
from robo_reward.policies.vla.waypoints import WayScale, ways
from robo_reward.trace import Trace

Shrink = Callable[[str, Tensor], Tensor]
"""Makes the pictures (F, 3, H, W) of a view smaller before they are kept."""
Moment = tuple[int, int]
"""Number of an episode and a step of it."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """``picture``: number of the moment's picture, ``first``: that of its episode's first; ``index``: in the dataset.

    ``also``: moments of other instructions that the very same picture was taken for.
    """

    moment: Moment
    picture: int
    first: int
    index: int
    also: list[Moment] = field(default_factory=list)


class EpisodeFrames:
    """Samples of episodes: what is seen at a step with pictures, and the actions from there on.

    Keys are LeRobot's with our camera names. Behind an episode's end the last action is repeated and marked in
    ``action_is_pad``. ``index`` counts the frames of the dataset that the episodes came from, as RA-BC's file does.
    """

    def __init__(self, views: Sequence[str], shrink: Shrink | None = None) -> None:
        self._shrink = shrink
        self._parts: dict[str, list[Tensor]] = {view: [] for view in views}
        self._traces: list[_Labels] = []
        self._scale: WayScale | None = None
        self._samples: list[_Sample] = []
        self._stills: dict[bytes, _Sample] = {}
        self._pictures, self._apart = 0, 1

    def add(self, traces: Sequence[Trace], starts: Sequence[int] | None = None, acted: bool = True) -> None:
        """Keeps episodes; ``starts``: the dataset's index of the first frame of each.

        Without ``acted`` they are still pictures: their actions are marked as if behind the end, and no waypoint told.
        A still picture that is there already under another instruction is kept once, and asked both.
        """
        self._scale = None
        for number, trace in enumerate(traces):
            start = 0 if starts is None else starts[number]
            if self._parts:
                self._apart = max(self._apart, int(np.diff(trace.frame_steps, prepend=-1).max()))
            pictures = {view: self._small(view, trace.frames[view]) for view in self._parts}
            episode, first = len(self._traces), self._pictures
            self._traces.append(_Labels.of(trace, acted))
            kept: list[int] = []
            for k, step in enumerate(trace.frame_steps.tolist()):
                sample = _Sample((episode, step), first + len(kept), first, start + step)
                decided = step < len(trace)
                if acted or (decided and self._is_new(sample, pictures, k, trace.state[step])):
                    kept.append(k)
                    if decided:
                        self._samples.append(sample)
            self._pictures += len(kept)
            for view, shown in pictures.items():
                self._parts[view].append(shown[kept])

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def acted(self) -> int:
        """How many samples show something being done; where still pictures were added last, these are the first."""
        return len(self._samples) - len(self._stills)

    @property
    def placed(self) -> list[int]:
        """The samples that show something being done and tell all places."""
        own = ((k, self._samples[k].moment) for k in range(self.acted))
        return [
            k
            for k, (episode, step) in own
            if (told := self._traces[episode].places) is not None and np.isfinite(told[step]).all()
        ]

    def sizes(self) -> dict[str, int]:
        """``sizes_of`` all episodes together."""
        return {what: size for labels in reversed(self._traces) for what, size in sizes_of(labels).items()}

    @property
    def moments(self) -> list[Moment]:
        """Of every sample the number of its episode and its step, ascending."""
        return [sample.moment for sample in self._samples]

    def batch(
        self, chosen: Sequence[int], past: Sequence[int], ahead: Sequence[int], pictures: bool = True
    ) -> dict[str, Any]:
        """Samples by number, then what else is asked of their pictures: R rows, of them B first ones with a picture.

        ``past``: steps whose observations are seen (-1, 0), () for the present without a time axis; ``ahead``: steps
        whose actions are the chunk; ``pictures``: whether there are any. Pictures (B[, T], 3, H, W) uint8, state
        (R[, T], S), action (R, K, A) float32,
        action_is_pad (R, K) bool, task, index (R,) int64; ``WAYPOINT`` (R, S) float32, deviation 1, NaN
        where none is known; ``PLACES`` (R, P) float32, NaN where an episode tells none; ``POINTS`` + view (R, P/3, 2),
        NaN where an episode tells none; ``SHOWN`` (R,) int64, each row's picture, where R is more than B.

        Raises:
            UserError: the past is to be seen, and there is not a picture of every step.
        """
        check_moments(1 - min(past, default=0), self._apart)
        samples = [self._samples[k] for k in chosen]
        more = [(k, moment) for k, sample in enumerate(samples) for moment in sample.also]
        rows = [*(sample.moment for sample in samples), *(moment for _, moment in more)]
        shown = torch.tensor([*range(len(samples)), *(k for k, _ in more)])
        chunks = [self._traces[episode].chunk(step, ahead) for episode, step in rows]
        batch: dict[str, Any] = {
            ACTION: torch.from_numpy(np.stack([actions for actions, _ in chunks])),
            "action_is_pad": torch.from_numpy(np.stack([padded for _, padded in chunks])),
            "task": [self._traces[episode].task for episode, _ in rows],
            "index": torch.tensor([sample.index for sample in samples])[shown],
        }
        back = list(past) or [0]
        states = np.stack([self._traces[episode].state[[max(step + d, 0) for d in back]] for episode, step in rows])
        batch[STATE] = torch.from_numpy(states if past else states[:, 0])
        batch |= self._labels(rows)
        if more:
            batch[SHOWN] = shown
        # a picture of every step: as many back as there are steps, within the episode
        seen = torch.tensor([[max(s.picture + d, s.first) for d in back] for s in samples])
        for view, frames in self._joined().items() if pictures else ():
            batch[full_key(view)] = frames[seen if past else seen[:, 0]]
        return batch

    def _labels(self, rows: Sequence[Moment]) -> dict[str, Tensor]:
        """What auxiliary losses are about."""
        self._scale = self._scale or WayScale(np.concatenate([labels.way for labels in self._traces]))
        nexts = np.stack([self._traces[episode].way[step] for episode, step in rows])
        found = {WAYPOINT: torch.from_numpy(self._scale(nexts))}
        size = next((labels.places.shape[1] for labels in self._traces if labels.places is not None), 0)
        if size:
            found[PLACES] = torch.from_numpy(
                np.stack([self._traces[episode].place(step, size) for episode, step in rows])
            )
        for view in self._parts:
            told = [self._traces[episode].point(view, step) for episode, step in rows]
            known = next((points for points in told if points is not None), None)
            if known is not None:
                unknown = np.full_like(known, np.nan)
                points = np.stack([unknown if point is None else point for point in told])
                found[POINTS + view] = torch.from_numpy(points)
        return found

    def _small(self, view: str, frames: NDArray[np.uint8]) -> Tensor:
        pictures = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
        return pictures if self._shrink is None else self._shrink(view, pictures)

    def _is_new(self, sample: _Sample, pictures: Mapping[str, Tensor], k: int, state: NDArray[np.float32]) -> bool:
        """Whether a still picture is seen for the first time; if not, the first one is asked this too."""
        digest = hashlib.blake2b(state.tobytes())
        for shown in pictures.values():
            digest.update(shown[k].numpy().tobytes())
        first = self._stills.setdefault(digest.digest(), sample)
        if first is not sample and first.moment[0] != sample.moment[0]:
            first.also.append(sample.moment)
        return first is sample

    def _joined(self) -> Mapping[str, Tensor]:
        for view, parts in self._parts.items():
            sizes = sorted({tuple(part.shape[2:]) for part in parts})
            if len(sizes) > 1:
                raise UserError(f"the pictures of '{view}' have several sizes: {sizes}")
            if len(parts) > 1:
                self._parts[view] = [torch.cat(parts)]
        return {view: parts[0] for view, parts in self._parts.items()}


@dataclass(frozen=True, slots=True)
class _Labels:
    """What is kept of an episode beside its pictures; ``way`` (T, S): NaN where nothing was done."""

    task: str
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    way: NDArray[np.float32]
    places: NDArray[np.float32] | None
    points: Mapping[str, NDArray[np.float32]] | None
    acted: bool

    @classmethod
    def of(cls, trace: Trace, acted: bool) -> _Labels:
        """Those of a trace."""
        way = ways(trace.state, trace.action) if acted else np.full_like(trace.state[:-1], np.nan)
        return cls(trace.task, trace.state, trace.action, way, trace.places, trace.points, acted)

    def place(self, step: int, size: int) -> NDArray[np.float32]:
        """The places (P,) at a step, NaN where none are told."""
        return np.full(size, np.nan, np.float32) if self.places is None else self.places[step]

    def chunk(self, step: int, ahead: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Actions (K, A) of the steps ``ahead`` of one, and which of them (K,) do not count."""
        wanted = step + np.asarray(ahead)
        outside = (wanted >= len(self.action)) | (wanted < 0) | (not self.acted)
        return self.action[wanted.clip(0, len(self.action) - 1)], outside

    def point(self, view: str, step: int) -> NDArray[np.float32] | None:
        """(K, 2), None where none is told."""
        return None if self.points is None or view not in self.points else self.points[view][step]


def sizes_of(told: Trace | _Labels) -> dict[str, int]:
    """How many numbers states, actions, places and each view's points of an episode are, those that it tells."""
    found = {"states": told.state.shape[1], "actions": told.action.shape[1]}
    if told.places is not None:
        found["places"] = told.places.shape[1]
    return found | {f"points of '{view}'": points[0].size for view, points in (told.points or {}).items()}
