"""A trace is one episode in memory: states, actions, the frames that were kept, and what they were worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from robo_reward.contracts import Estimate

Source = Literal["demonstration", "random", "replay", "policy", "evaluation", "dataset", "video", "counterfactual"]
"""``counterfactual``: a demonstration under an instruction that it does not fulfil: progress 0 and success 0."""

KEYFRAME = "keyframe"
"""Entries of ``Trace.meta`` whose name begins so hold the step index of an annotated keyframe."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Trace:
    """One episode of T steps with F kept frames per view.

    ``state`` (T+1, S) float32; ``action`` (T, A) float32; ``frames``: view -> (F, H, W, 3) uint8; ``frame_steps`` (F,)
    the step index in 0..T that each frame shows, ascending. ``success`` (T+1,) bool is the annotation of a
    demonstration; None where nobody annotated it (a policy's own episode). ``estimate`` (F,) and ``reward`` (T,) once
    priced. ``places`` (T+1, P) float32 metres: where a simulator says that things are, if it was asked to; ``points``:
    view -> (T+1, P/3, 2) float32: where its pictures show them, as shares from left and top, outside [0, 1] where they
    do not. Labels for auxiliary losses, never inputs.
    """

    task: str
    state: NDArray[np.float32]
    action: NDArray[np.float32]
    frames: Mapping[str, NDArray[np.uint8]]
    frame_steps: NDArray[np.int64]
    fps: float
    source: Source
    terminated: bool = False
    truncated: bool = True
    success: NDArray[np.bool_] | None = None
    env_reward: NDArray[np.float32] | None = None
    estimate: Estimate | None = None
    reward: NDArray[np.float32] | None = None
    meta: Mapping[str, float] = field(default_factory=dict)
    places: NDArray[np.float32] | None = None
    points: Mapping[str, NDArray[np.float32]] | None = None

    def __post_init__(self) -> None:
        steps = len(self.action)
        if len(self.state) != steps + 1:
            raise ValueError(f"a trace of {steps} actions needs {steps + 1} states, got {len(self.state)}")
        if any(len(f) != len(self.frame_steps) for f in self.frames.values()):
            raise ValueError("every view needs one frame per entry of frame_steps")
        if len(self.frame_steps) and (np.diff(self.frame_steps) <= 0).any():
            raise ValueError("frame_steps must ascend")

    def __len__(self) -> int:
        return len(self.action)

    @property
    def success_step(self) -> int | None:
        """The first step annotated as success, None without one."""
        if self.success is None or not self.success.any():
            return None
        return int(np.argmax(self.success))

    @property
    def keyframes(self) -> list[int]:
        """The annotated steps at which sub-tasks end, ascending, as ``meta`` has them: outside of the episode too."""
        return sorted({int(value) for name, value in self.meta.items() if name.startswith(KEYFRAME)})

    def cut(self, stop: int) -> Trace:
        """The first ``stop`` steps, unpriced."""
        kept = self.frame_steps <= stop
        return replace(
            self,
            state=self.state[: stop + 1],
            action=self.action[:stop],
            frames={k: v[kept] for k, v in self.frames.items()},
            frame_steps=self.frame_steps[kept],
            success=None if self.success is None else self.success[: stop + 1],
            env_reward=None if self.env_reward is None else self.env_reward[:stop],
            places=None if self.places is None else self.places[: stop + 1],
            points=None if self.points is None else {view: told[: stop + 1] for view, told in self.points.items()},
            estimate=None,
            reward=None,
        )

    def every(self, stride: int) -> Trace:
        """The same episode with frames kept at multiples of ``stride``, and the last one."""
        kept = self.frame_steps % stride == 0
        kept[-1:] = True
        return replace(
            self,
            frames={k: v[kept] for k, v in self.frames.items()},
            frame_steps=self.frame_steps[kept],
            estimate=None,
        )
