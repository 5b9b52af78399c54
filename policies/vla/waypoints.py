"""How far the robot is from where it next opens or closes its fingers: a label that every demonstration carries."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def ways(state: Array, action: Array) -> Array:
    """(T, S): what each step's state lacks to its waypoint."""
    return waypoints(state, action) - state[:-1]


def waypoints(state: Array, action: Array) -> Array:
    """(T, S): for each step, the state in which the fingers' command next changes; after the last change, the end's.

    ``state`` (T+1, S), ``action`` (T, A), its last number the fingers' command, as LIBERO, Meta-World and LeRobot's
    arms have it. Changes are crossings of the middle of the range that the episode uses. The hand closes where the
    thing is and opens where it belongs, so this tells places without a simulator (keyframes, as in James and Davison,
    "Q-attention", 2022).
    """
    fingers = action[:, -1]
    closed = fingers > 0.5 * (fingers.min() + fingers.max())
    changes = np.append(np.flatnonzero(closed[1:] != closed[:-1]) + 1, len(action))
    # at a change itself the hand is where it has to be: the label is that very state
    told: Array = state[changes[np.searchsorted(changes, np.arange(len(action)))]]
    return told


class WayScale:
    """Brings labels to mean 0 and deviation 1, over the episodes that it was made from."""

    def __init__(self, labels: Array, floor: float = 0.01) -> None:
        """``labels`` (N, S), NaN where unknown; ``floor``: what hardly differs is divided by no less than this."""
        known = labels[~np.isnan(labels).any(1)]
        self._mean = known.mean(0) if len(known) else np.zeros(labels.shape[1], np.float32)
        self._std = np.maximum(known.std(0) if len(known) else 1.0, floor)

    def __call__(self, labels: Array) -> Array:
        """Labels (..., S) on the scale."""
        scaled: Array = ((labels - self._mean) / self._std).astype(np.float32)
        return scaled
