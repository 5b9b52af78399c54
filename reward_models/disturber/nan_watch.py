"""Simulations that blew up under a force: counted by the world, tolerated up to a bound."""

from __future__ import annotations

from robo_reward.contracts import World
from robo_reward.errors import UserError


class NanWatch:
    """Ends the run at the first blow-up beyond ``most``; None tolerates all."""

    def __init__(self, most: int | None) -> None:
        if most is not None and most < 0:
            raise UserError(f"hook.max_nan_resets={most} must be 0 or more, or null to go on however many there are")
        self._most = most

    def bind(self, world: World) -> None:
        """Counts from here on."""
        self._world, self._before = world, world.nan_resets

    def check(self) -> None:
        """UserError once there were too many."""
        new = self._world.nan_resets - self._before
        if self._most is not None and new > self._most:
            raise UserError(
                f"the simulation of '{self._world.name}' blew up {new} times under the disturber's forces, more than "
                f"hook.max_nan_resets={self._most}: push less hard (hook.curriculum.limit), or allow more"
            )
