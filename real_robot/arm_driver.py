"""What the arm server needs of an arm: read it, move it, power it and cut its power motor by motor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from robo_reward.errors import UserError
from robo_reward.real_robot.braking import Floats


class ArmRefused(UserError):
    """The arm cannot be driven as it is; raised before torque is switched on, and it says the way out (exit code 2)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the whole arm; every array is (J,) in the order of ``ArmDriver.names``.

    ``position`` in the joints' units. The rest is None where an arm does not tell: ``current`` in A, ``temperature`` in
    degrees Celsius, ``voltage`` in V, ``status`` (error bits, 0 = none), ``torque`` (1 = on).
    """

    position: Floats
    current: Floats | None = None
    temperature: Floats | None = None
    voltage: Floats | None = None
    status: Floats | None = None
    torque: Floats | None = None


class ArmDriver(Protocol):
    """One arm on one port. Every method may raise any Exception when the bus fails; none waits longer than 0.1 s."""

    @property
    def names(self) -> tuple[str, ...]:
        """The joints, without LeRobot's suffix ``.pos``."""
        ...

    def open(self) -> Floats:
        """Connects, checks motors and calibration, leaves torque as it is: the calibrated range (J, 2) of each joint.

        Raises ArmRefused.
        """
        ...

    def power(self) -> None:
        """Sets goals to the present positions, then switches torque on, in this order."""
        ...

    def read(self) -> Reading:
        """A fresh reading, never one that a late packet brought from an earlier request."""
        ...

    def write(self, goal: Floats) -> None:
        """Sends the goal (J,)."""
        ...

    def cut(self) -> Mapping[str, str]:
        """Torque off, each motor on its own, whatever the others answer: {joint: "off" or what went wrong}."""
        ...

    def close(self) -> None:
        """Releases the port; torque stays as it is."""
        ...


def read_surely(arm: ArmDriver, tries: int = 8) -> Reading:
    """A reading at start-up, where one lost packet is no reason to refuse; raises the last error."""
    for turn in range(tries):
        try:
            return arm.read()
        except Exception:
            if turn == tries - 1:
                raise
    raise ValueError(f"tries={tries} must be 1 or more")
