"""robosuite's operational space controller for one substep, compiled: the same law without its Python."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]


def _solve(matrix: Array, right: Array) -> None:
    """Overwrites ``right`` (n, k) with the solution of a symmetric positive definite system; spoils ``matrix``."""
    n, k = right.shape
    for j in range(n):
        for p in range(j):
            matrix[j, j] -= matrix[j, p] * matrix[j, p]
        matrix[j, j] = np.sqrt(matrix[j, j])
        for i in range(j + 1, n):
            for p in range(j):
                matrix[i, j] -= matrix[i, p] * matrix[j, p]
            matrix[i, j] /= matrix[j, j]
    for c in range(k):
        for i in range(n):
            for p in range(i):
                right[i, c] -= matrix[i, p] * right[p, c]
            right[i, c] /= matrix[i, i]
        for i in range(n - 1, -1, -1):
            for p in range(i + 1, n):
                right[i, c] -= matrix[p, i] * right[p, c]
            right[i, c] /= matrix[i, i]


solve = numba.njit(cache=True)(_solve)


def _arm_dynamics(
    point: Array, com: Array, cdof: Array, inertia: Array, starts: Numbers, first: int, jacobian: Array, mass: Array
) -> None:
    """Fills the arm's Jacobian (6, n) at ``point`` and mass matrix (n, n) from MuJoCo's own intermediate results.

    ``cdof`` (nv, 6) and ``com`` as mj_jac reads them; ``inertia`` is qM, whose rows begin at ``starts`` and walk up
    the kinematic chain, which for an arm is its joints in reverse.
    """
    offset = point - com
    n = mass.shape[0]
    for i in range(n):
        w, v = cdof[first + i, :3], cdof[first + i, 3:]
        jacobian[3:, i] = w
        jacobian[0, i] = v[0] + w[1] * offset[2] - w[2] * offset[1]
        jacobian[1, i] = v[1] + w[2] * offset[0] - w[0] * offset[2]
        jacobian[2, i] = v[2] + w[0] * offset[1] - w[1] * offset[0]
        for back in range(i + 1):
            value = inertia[starts[first + i] + back]
            mass[i, i - back] = value
            mass[i - back, i] = value


arm_dynamics = numba.njit(cache=True)(_arm_dynamics)


def _arm_torques(
    position: Array,
    rotation: Array,
    jacobian: Array,
    mass: Array,
    angles: Array,
    rates: Array,
    goal_position: Array,
    goal_rotation: Array,
    gains: Array,
    rest: Array,
) -> Array:
    """Torques (n,) without gravity compensation, as OperationalSpaceController.run_controller has them.

    Position and orientation decoupled (Khatib 1987), null space held towards ``rest``. ``gains`` (2, 6): kp, kd.
    """
    velocity = jacobian @ rates.copy()
    turn = np.zeros(3)
    for c in range(3):
        a, b = rotation[:, c], goal_rotation[:, c]
        turn[0] += a[1] * b[2] - a[2] * b[1]
        turn[1] += a[2] * b[0] - a[0] * b[2]
        turn[2] += a[0] * b[1] - a[1] * b[0]
    wanted = np.empty((6, 1))
    wanted[:3, 0] = (goal_position - position) * gains[0, :3] - velocity[:3] * gains[1, :3]
    wanted[3:, 0] = 0.5 * turn * gains[0, 3:] - velocity[3:] * gains[1, 3:]
    transposed = np.ascontiguousarray(jacobian.T)
    spread = transposed.copy()
    solve(mass.copy(), spread)
    inverse = jacobian @ spread
    solve(inverse[:3, :3].copy(), wanted[:3])
    solve(inverse[3:, 3:].copy(), wanted[3:])
    posture = mass @ (10.0 * (rest - angles) - 2.0 * np.sqrt(10.0) * rates)
    pulled = np.empty((6, 1))
    pulled[:, 0] = np.ascontiguousarray(spread.T) @ posture
    solve(inverse, pulled)
    torques: Array = (transposed @ wanted)[:, 0] + posture - (transposed @ pulled)[:, 0]
    return torques


arm_torques = numba.njit(cache=True)(_arm_torques)


def _substep(
    site: int,
    site_positions: Array,
    site_rotations: Array,
    com: Array,
    cdof: Array,
    inertia: Array,
    starts: Numbers,
    angles: Array,
    rates: Array,
    bias: Array,
    goal_position: Array,
    goal_rotation: Array,
    gains: Array,
    rest: Array,
    limits: Array,
    first: int,
    out: Array,
) -> None:
    """Writes the arm's clipped torques (n,) into ``out``; to be called between mj_step1 and mj_step2."""
    n = rest.shape[0]
    jacobian, mass = np.empty((6, n)), np.empty((n, n))
    point = site_positions[site]
    arm_dynamics(point, com, cdof, inertia, starts, first, jacobian, mass)
    rotation = site_rotations[site].copy().reshape(3, 3)
    torques = arm_torques(point, rotation, jacobian, mass, angles, rates, goal_position, goal_rotation, gains, rest)
    for i in range(n):
        out[i] = min(max(torques[i] + bias[i], limits[0, i]), limits[1, i])


substep = numba.njit(cache=True)(_substep)
