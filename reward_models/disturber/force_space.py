"""Which forces and torques a disturber can choose, as vectors in a unit ball, and in which worlds they act."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import World
from robo_reward.errors import UserError
from robo_reward.pushes.forces import Pushable, chosen_bodies


@dataclass(frozen=True, slots=True)
class ForceSpace:
    """``size`` numbers in the unit ball stand for the forces on ``places`` (B,) of the world's ``bodies``.

    ``vertical``: with forces along z. ``lever`` in metres: with torques, which count in the magnitude as the force at
    that lever; 0 is without.
    """

    bodies: int
    places: tuple[int, ...]
    vertical: bool
    lever: float

    @property
    def axes(self) -> tuple[int, ...]:
        """Which of the six numbers of a wrench are chosen."""
        return (0, 1, *((2,) if self.vertical else ()), *((3, 4, 5) if self.lever > 0 else ()))

    @property
    def size(self) -> int:
        """Numbers that a disturber chooses for each world."""
        return len(self.places) * len(self.axes)

    def wrench(self, unit: NDArray[Any], newtons: float) -> NDArray[np.float64]:
        """(N, bodies, 6) N and N m of vectors (N, size) in the unit ball, scaled by the bound."""
        scale = np.array([newtons * self.lever if axis > 2 else newtons for axis in self.axes])
        wrench = np.zeros((len(unit), self.bodies, 6))
        parts = np.asarray(unit, np.float64).reshape(len(unit), len(self.places), len(self.axes)) * scale
        wrench[:, np.array(self.places)[:, None], np.array(self.axes)] = parts
        return wrench


def force_space(world: World, bodies: tuple[str, ...] | None, vertical: bool, lever: float) -> ForceSpace:
    """The space for a world. UserError for unknown bodies or a negative lever."""
    if not 0.0 <= lever < np.inf:
        raise UserError(f"hook.lever={lever} m must be 0 (no torques) or more")
    chosen = chosen_bodies(world, bodies)
    assert isinstance(world, Pushable)
    return ForceSpace(len(world.bodies), tuple(world.bodies.index(name) for name in chosen), vertical, lever)


def pushed_worlds(world: World, unpushed: float) -> NDArray[np.bool_]:
    """(N,) False in the first worlds, the share ``unpushed`` of all, where the policy goes on walking undisturbed."""
    if not 0.0 <= unpushed < 1.0:
        raise UserError(f"hook.unpushed={unpushed} must be a share of the worlds, 0 or more and below 1")
    left = round(unpushed * world.num_worlds)
    if left == world.num_worlds:
        raise UserError(f"hook.unpushed={unpushed} leaves none of {left} worlds to push: lower it, or use more worlds")
    if unpushed > 0.0 and left == 0:
        needed = math.floor(0.5 / unpushed) + 1
        raise UserError(
            f"hook.unpushed={unpushed} of env.num_worlds={world.num_worlds} is no world: set env.num_worlds={needed} "
            "or more, or hook.unpushed=0 (a run that was made so begins anew, in a run_dir of its own)"
        )
    return np.arange(world.num_worlds) >= left
