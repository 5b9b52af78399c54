"""Commands for their own sake, held, by turns, one axis alone: given to a robot that is stuck, and by an attack."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robo_reward.trace import Trace

Count = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Held:
    """A direction of command, ``signs`` (A,) of -1, 0 and 1; ``turning``: and its opposite, by turns."""

    signs: NDArray[np.float64]
    turning: bool = False

    def at(self, steps: Count, gap: int) -> NDArray[np.float64]:
        """Signs (T, A) at the decisions ``steps`` (T,), of an episode with a frame every ``gap``.

        Turns change with every step and with every frame, whichever of both a reward compares.
        """
        frame = steps // gap + 1
        way = 1 - 2 * ((frame + frame * gap - 1 - steps) % 2) if self.turning else np.ones(len(steps))
        return np.asarray(way[:, None] * self.signs, np.float64)


@dataclass(frozen=True, slots=True)
class Drive:
    """``action`` (T, A) of an episode, and its frames in ``parts``, in each of which one command is held."""

    action: NDArray[np.float32]
    parts: tuple[slice, ...]


def together(axes: int) -> list[Held]:
    """All axes at once: forward, backward, by turns."""
    ones = np.ones(axes)
    return [Held(ones), Held(-ones), Held(ones, turning=True)]


def alone(axes: int) -> list[Held]:
    """Each axis by itself, forward and backward; none of a single axis, which is ``together`` already."""
    return [Held(sign * axis) for axis in np.eye(axes) for sign in (1.0, -1.0)] if axes > 1 else []


def largest(traces: Sequence[Trace]) -> NDArray[np.float64]:
    """The largest command of each axis (A,); the largest of all where an axis was never used."""
    most = np.max([np.abs(trace.action).max(0, initial=0) for trace in traces], axis=0)
    return np.where(most > 0, most, most.max(initial=0)).astype(np.float64)


def drives(edited: Trace, most: NDArray[np.float64]) -> list[Drive]:
    """Commands of size ``most`` (A,) for an episode of frames that are equally far apart.

    ``together`` throughout, one episode each. ``alone`` in its last third, one after another, in as few episodes as
    give each of them a frame there.
    """
    frames, steps = len(edited.frame_steps), np.arange(len(edited.action))
    gap, last = max(1, len(steps) // max(1, frames - 1)), max(1, frames // 3)
    end = slice(frames - last, frames)
    found = [Drive((held.at(steps, gap) * most).astype(np.float32), (end,)) for held in together(len(most))]
    single = alone(len(most))
    for chosen in np.array_split(np.arange(len(single)), math.ceil(len(single) / last)) if single else []:
        action, parts = np.zeros(edited.action.shape, np.float32), []
        for row, block in zip(chosen, np.array_split(np.arange(frames)[end], len(chosen)), strict=True):
            into = np.isin(steps // gap + 1, block)
            action[into] = single[row].at(steps[into], gap) * most
            parts.append(slice(int(block[0]), int(block[-1]) + 1))
        found.append(Drive(action, tuple(parts)))
    return found
