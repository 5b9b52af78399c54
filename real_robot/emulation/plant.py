"""What moves behind the emulated servos: the protocol that a simulated arm keeps to be driven by the bus."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from robo_reward.joint_goals import Drive, Joints, JointSpec


@runtime_checkable
class Plant(Protocol):
    """J joints that follow a ``Drive``. The bus calls all but ``picture`` from one thread, ``picture`` from another."""

    joints: tuple[JointSpec, ...]
    views: tuple[str, ...]
    """Cameras that ``picture`` knows."""

    def reset(self, seed: int) -> None:
        """Starts from a seeded state at rest."""
        ...

    def advance(self, seconds: float, drive: Drive) -> None:
        """Moves on by ``seconds`` of simulated time under ``drive``."""
        ...

    def angles(self) -> Joints:
        """(J,) radians."""
        ...

    def speeds(self) -> Joints:
        """(J,) rad/s."""
        ...

    def loads(self) -> Joints:
        """(J,) torque now as a share of the strongest, -1 to 1."""
        ...

    def picture(self, view: str, height: int, width: int) -> NDArray[np.uint8]:
        """(height, width, 3) uint8, RGB."""
        ...

    def close(self) -> None:
        """Frees what pictures need; called by the thread that asked for them."""
        ...
