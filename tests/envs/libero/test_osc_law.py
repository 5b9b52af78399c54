"""The compiled controller is robosuite's law: the same torques as its formulas with pseudo-inverses."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from robo_reward.envs.libero import osc_law

Array = NDArray[np.float64]


def reference(
    x: Array, r: Array, j: Array, m: Array, q: Array, v: Array, gx: Array, gr: Array, k: Array, q0: Array
) -> Any:
    """Khatib (1987) as robosuite writes it, in NumPy."""
    inverse = np.linalg.inv(m)
    full = np.linalg.pinv(j @ inverse @ j.T)
    place = np.linalg.pinv(j[:3] @ inverse @ j[:3].T)
    turn = np.linalg.pinv(j[3:] @ inverse @ j[3:].T)
    error = 0.5 * sum(np.cross(r[:, c], gr[:, c]) for c in range(3))
    force = k[0, :3] * (gx - x) - k[1, :3] * (j[:3] @ v)
    torque = k[0, 3:] * error - k[1, 3:] * (j[3:] @ v)
    null = np.eye(7) - inverse @ j.T @ full @ j
    posture = m @ (10 * (q0 - q) - 2 * np.sqrt(10) * v)
    return j.T @ np.concatenate([place @ force, turn @ torque]) + null.T @ posture


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31))
def test_torques_are_robosuites(seed: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(7, 7))
    mass = root @ root.T + 0.5 * np.eye(7)
    rotations = [np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(2)]
    jacobian = rng.normal(size=(6, 7))
    gains = np.abs(rng.normal(size=(2, 6))) * 100
    args = (rng.normal(size=3), rotations[0], jacobian, mass, rng.normal(size=7), rng.normal(size=7))
    args = (*args, rng.normal(size=3), rotations[1], gains, rng.normal(size=7))
    wanted = reference(*args)
    np.testing.assert_allclose(osc_law.arm_torques(*args), wanted, rtol=1e-7, atol=1e-7 * np.abs(wanted).max())


def test_solving_by_hand() -> None:
    right = np.array([[2.0], [7.0]])
    osc_law.solve(np.array([[4.0, 2.0], [2.0, 5.0]]), right)  # 4x + 2y = 2, 2x + 5y = 7
    np.testing.assert_allclose(right[:, 0], [-0.25, 1.5])


def test_dynamics_are_mujocos(sim_of: Any) -> None:
    import mujoco

    sim = sim_of("libero_object", 0)
    sim.reset(3)
    model, data, arm = sim.model, sim.data, sim.arm
    theirs, full = np.zeros((6, model.nv)), np.zeros((model.nv, model.nv))
    mujoco.mj_jacSite(model, data, theirs[:3], theirs[3:], arm._site)
    mujoco.mj_fullM(model, full, data.qM)
    mine, mass = np.zeros((6, 7)), np.zeros((7, 7))
    point = data.site_xpos[arm._site]
    osc_law.arm_dynamics(point, arm._com, data.cdof, data.qM, arm._starts, arm._first, mine, mass)
    mine_slice = slice(arm._first, arm._first + 7)
    np.testing.assert_allclose(mine, theirs[:, mine_slice], atol=1e-15)
    np.testing.assert_array_equal(mass, full[mine_slice, mine_slice])
