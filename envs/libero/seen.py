"""What the published environment shows after a step: the scene shortly before the step ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import mujoco

SENSED = 23
"""The substep (of 0 to 24) after which robosuite samples: its timer ran through two forced updates at the reset."""
Timing = Literal["lerobot", "present"]
PLACES = (
    *("geom_xpos", "geom_xmat", "site_xpos", "site_xmat", "cam_xpos", "cam_xmat", "light_xpos", "light_xdir"),
    *("xpos", "xquat", "xmat", "xipos", "ximat"),
)
"""Everything that a picture or the hand's pose is made of."""


class SeenScene:
    """A second MjData that holds what is shown, while the first one is already ahead.

    Set to a shipped state as LeRobot does it, robosuite samples its sensors after the 24th of the 25 substeps, when
    MuJoCo's places still are those before it; only joint positions have moved on.
    """

    def __init__(self, model: mujoco.MjModel, live: mujoco.MjData) -> None:
        import mujoco

        self.data = mujoco.MjData(model)
        self._live = live
        self._pairs = [(getattr(self.data, name), getattr(live, name)) for name in PLACES]

    def take_places(self) -> None:
        """Keeps where everything is; to be called before the sensed substep's second half."""
        for mine, live in self._pairs:
            mine[...] = live

    def take_joints(self) -> None:
        """Keeps the joint positions; to be called after the sensed substep."""
        self.data.qpos[:] = self._live.qpos

    def memory(self) -> list[NDArray[np.float64]]:
        """Copies of all that is kept."""
        return [*(mine.copy() for mine, _ in self._pairs), self.data.qpos.copy()]

    def recall(self, memory: list[NDArray[np.float64]]) -> None:
        """Returns to what ``memory`` gave."""
        for (mine, _), kept in zip(self._pairs, memory[:-1], strict=True):
            mine[...] = kept
        self.data.qpos[:] = memory[-1]
