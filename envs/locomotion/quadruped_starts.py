"""Where the quadruped's episodes begin and what they command, as one affine function of each episode's draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.locomotion.counted_draws import Keys, uniform
from robo_reward.envs.locomotion.quadruped_model import STANDING
from robo_reward.envs.locomotion.rotations import yaw_quaternion
from robo_reward.errors import UserError

Array = NDArray[np.float64]
HEIGHT = 0.29
"""Metres of the trunk's middle above the ground when an episode begins."""


@dataclass(frozen=True, slots=True)
class Commands:
    """Ranges of the commanded velocities: ``forward`` and ``sideways`` in m/s, ``turn`` in rad/s, body axes."""

    forward: tuple[float, float] = (0.3, 0.8)
    sideways: tuple[float, float] = (0.0, 0.0)
    turn: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        for name in ("forward", "sideways", "turn"):
            low, high = getattr(self, name)
            if not -2.0 <= low <= high <= 2.0:
                raise UserError(f"env.{name}=[{low}, {high}] must be two rising velocities within -2 and 2")


class Start(NamedTuple):
    """M robots about to walk: ``qpos`` (M, 19) on even ground at 0, ``qvel`` (M, 18), ``command`` (M, 3), ``phase``
    (M,) of the clock in turns, ``latency`` (M,) uniform in [0, 1).
    """

    qpos: Array
    qvel: Array
    command: Array
    phase: Array
    latency: Array


class Starts:
    """Robots anywhere within 2 m, looking anywhere, nearly standing, nearly still, with a command each."""

    def __init__(self, commands: Commands) -> None:
        slowest, fastest = np.array([commands.forward, commands.sideways, commands.turn]).T
        # the first 33 numbers lie either way of a middle, the others above a lowest value
        self._origin: Array = np.repeat([0.5, 0.0], (33, 5))
        self._width: Array = np.concatenate(
            [np.repeat([4.0, 2.0 * np.pi, 0.2], (2, 1, 30)), fastest - slowest, np.ones(2)]
        )
        self._base: Array = np.concatenate([np.zeros(3), STANDING, np.zeros(18), slowest, np.zeros(2)])

    def of(self, keys: Keys) -> Start:
        """The starts of the episodes that ``keys`` (M,) name."""
        drawn = uniform(keys, 38)
        drawn -= self._origin
        drawn *= self._width
        drawn += self._base
        qpos = np.empty((len(keys), 19))
        qpos[:, :2], qpos[:, 2] = drawn[:, :2], HEIGHT
        qpos[:, 3:7], qpos[:, 7:] = yaw_quaternion(drawn[:, 2]), drawn[:, 3:15]
        return Start(qpos, drawn[:, 15:33], drawn[:, 33:36], drawn[:, 36], drawn[:, 37])
