"""Rotations of many bodies at once from MuJoCo's quaternions (w, x, y, z), in few array operations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def _quadratic_form() -> Array:
    """(16, 9): a rotation matrix, row by row, as a linear function of the products of a quaternion's parts."""
    w, x, y, z = range(4)
    signs = {
        (0, 0): ((w, w, 1), (x, x, 1), (y, y, -1), (z, z, -1)),
        (1, 1): ((w, w, 1), (x, x, -1), (y, y, 1), (z, z, -1)),
        (2, 2): ((w, w, 1), (x, x, -1), (y, y, -1), (z, z, 1)),
        (0, 1): ((x, y, 2), (w, z, -2)),
        (1, 0): ((x, y, 2), (w, z, 2)),
        (0, 2): ((x, z, 2), (w, y, 2)),
        (2, 0): ((x, z, 2), (w, y, -2)),
        (1, 2): ((y, z, 2), (w, x, -2)),
        (2, 1): ((y, z, 2), (w, x, 2)),
    }
    form = np.zeros((4, 4, 3, 3))
    for (row, column), terms in signs.items():
        for first, second, factor in terms:
            form[first, second, row, column] = factor
    return form.reshape(16, 9)


_FORM = _quadratic_form()


def matrices(quaternion: Array) -> Array:
    """(N, 3, 3) from unit quaternions (N, 4); a column is one of the body's axes in the world."""
    # part by part, since numpy is slow on short rows
    parts = quaternion.T.copy()
    products = (parts[:, None] * parts).reshape(16, -1)
    return np.asarray((products.T @ _FORM).reshape(-1, 3, 3))


def to_body(turn: Array, vector: Array) -> Array:
    """World vectors (N, 3) in the axes of bodies with rotation matrices (N, 3, 3)."""
    return np.asarray(np.matmul(vector[:, None, :], turn)[:, 0])


def gravity_in_body(turn: Array) -> Array:
    """(N, 3) direction of gravity in the body's axes; (0, 0, -1) when upright."""
    return -turn[:, 2]


def yaw_quaternion(angle: Array) -> Array:
    """(N, 4) rotations about z by angles (N,) in radians."""
    found, half = np.zeros((len(angle), 4)), angle / 2
    found[:, 0], found[:, 3] = np.cos(half), np.sin(half)
    return found


def crossed(first: Array, second: Array, out: Array) -> None:
    """Writes the cross products (3, ...) of vectors (3, ...) into ``out``."""
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        np.multiply(first[j], second[k], out=out[i])
        out[i] -= first[k] * second[j]
