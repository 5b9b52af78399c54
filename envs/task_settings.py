"""What a simulated task is told: which pictures to show and when to end; and what one step answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.rendering import FREE_VIEW, ExtraCamera, Profile
from robo_reward.errors import UserError

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Camerawork:
    """What a world shows: named views, their size in pixels, the profile, and cameras to add."""

    views: tuple[str, ...]
    height: int = 64
    width: int = 64
    profile: Profile = "fast"
    cameras: Mapping[str, ExtraCamera] = field(default_factory=dict)

    def or_first(self, named: Sequence[str]) -> Camerawork:
        """The same, with one view chosen if there is none: an added camera, else a named one, else the free one."""
        if self.views:
            return self
        return replace(self, views=(next(iter((*self.cameras, *named)), FREE_VIEW),))


@dataclass(frozen=True, slots=True)
class Clock:
    """``horizon`` simulator steps until truncation; a decision is repeated for ``action_repeat`` of them."""

    horizon: int
    action_repeat: int = 1

    def __post_init__(self) -> None:
        if self.horizon < 1 or self.action_repeat < 1:
            raise UserError(f"env.horizon={self.horizon} and env.action_repeat={self.action_repeat} must be 1 or more")

    @property
    def decisions(self) -> int:
        """Decisions in an episode."""
        return math.ceil(self.horizon / self.action_repeat)


@dataclass(frozen=True, slots=True)
class SubStep:
    """One simulator step: state (S,), dense reward, real termination, success (None without a test)."""

    state: Vector
    reward: float
    terminated: bool
    success: bool | None
