"""Rotations of many bodies at once by MuJoCo's quaternions (w, x, y, z)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def to_body(quaternion: Array, vector: Array) -> Array:
    """World vectors (N, 3) in the axes of bodies with orientations (N, 4)."""
    w, axis = quaternion[:, :1], -quaternion[:, 1:]
    side = 2.0 * np.cross(axis, vector)
    return np.asarray(vector + w * side + np.cross(axis, side))


def gravity_in_body(quaternion: Array) -> Array:
    """(N, 3) direction of gravity in the body's axes; (0, 0, -1) when upright."""
    w, x, y, z = quaternion.T
    return np.stack([2 * (w * y - x * z), -2 * (w * x + y * z), 2 * (x * x + y * y) - 1], axis=1)


def yaw_quaternion(angle: Array) -> Array:
    """(N, 4) rotations about z by angles (N,) in radians."""
    zero = np.zeros_like(angle)
    return np.stack([np.cos(angle / 2), zero, zero, np.sin(angle / 2)], axis=1)


def matrices(quaternion: Array) -> Array:
    """(..., 3, 3) rotation matrices from quaternions (..., 4)."""
    w, x, y, z = np.moveaxis(quaternion, -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
