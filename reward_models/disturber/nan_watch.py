"""Simulations that blew up under a force: counted by the world, tolerated up to a bound."""

from __future__ import annotations

from robo_reward.contracts import World
from robo_reward.errors import UserError


class NanWatch:
    """Ends the run at the first blow-up beyond ``most``; None tolerates all."""

    def __init__(self, most: int | None) -> None:
        if most is not None and most < 0:
            raise UserError(f"hook.max_nan_resets={most} must be 0 or more, or null to go on however many there are")
        self._most, self._earlier = most, 0

    def bind(self, world: World) -> None:
        """Counts from here on."""
        self._world, self._before = world, world.nan_resets

    @property
    def count(self) -> int:
        """Blow-ups since the run began, those before a resume included."""
        return self._earlier + self._world.nan_resets - self._before

    def resume(self, count: int) -> None:
        """Goes on from the ``count`` of the run that is resumed."""
        self._earlier = count

    def check(self) -> None:
        """UserError once there were too many."""
        if self._most is not None and self.count > self._most:
            raise UserError(
                f"the simulation of '{self._world.name}' blew up {self.count} times under the disturber's forces, more "
                f"than hook.max_nan_resets={self._most}: push less hard (hook.curriculum.limit), or allow more"
            )
