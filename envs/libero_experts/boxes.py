"""The scene's collision geometry as oriented boxes: what a hand would hit, how high things stand, how wide they are."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import mujoco

Floats = NDArray[np.float64]
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
ROBOT = ("robot", "gripper", "mount")


class CollisionBoxes:
    """Bounding boxes of all colliding geoms, in their own frames, following the simulation."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        import mujoco

        self._model, self._data = model, data
        plane = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE
        colliding = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
        robot = np.array([model.body(b).name.startswith(ROBOT) for b in range(model.nbody)])
        ours = colliding & ~robot[model.geom_bodyid]
        self._geoms = np.flatnonzero(ours & ~plane)
        self._planes = np.flatnonzero(ours & plane)
        self._owner = model.geom_bodyid[self._geoms]
        self._middle = np.array(model.geom_aabb[self._geoms, :3])
        self._half = np.array(model.geom_aabb[self._geoms, 3:])

    def tree(self, body: int) -> frozenset[int]:
        """A body and all that hang on it."""
        found = {body}
        for child in range(body + 1, self._model.nbody):
            if int(self._model.body_parentid[child]) in found:
                found.add(child)
        return frozenset(found)

    def oriented(self, bodies: Collection[int]) -> tuple[Floats, Floats, Floats]:
        """Centres (G, 3), axes (G, 3, 3) as columns, half sizes (G, 3) of the boxes of some bodies."""
        mine = np.isin(self._owner, list(bodies))
        return self._oriented(mine)

    def corners(self, bodies: Collection[int]) -> Floats:
        """(8 G, 3) corners of the boxes of some bodies."""
        return self._corners(*self.oriented(bodies)).reshape(-1, 3)

    def bounds(self, bodies: Collection[int]) -> tuple[Floats, Floats]:
        """Lowest and highest corner (3,) of some bodies together, along the world's axes."""
        corners = self.corners(bodies)
        return corners.min(0), corners.max(0)

    def upright(self, bodies: Collection[int] = (), but: Collection[int] = ()) -> Floats:
        """(G, 6) lowest and highest corners of each box, of ``bodies`` alone or of all ``but`` some."""
        mine = np.isin(self._owner, list(bodies)) if bodies else ~np.isin(self._owner, list(but))
        corners = self._corners(*self._oriented(mine))
        return np.concatenate([corners.min(1), corners.max(1)], 1)

    def inside(self, points: Floats, but: Collection[int], margin: float = 0.004) -> NDArray[np.bool_]:
        """(P,) which points (P, 3) lie in a box or under a floor, some bodies left out."""
        centre, axes, half = self._oriented(~np.isin(self._owner, list(but)))
        reach = np.einsum("gij,gj->gi", np.abs(axes), half + margin)
        near = (centre + reach > points.min(0)).all(1) & (centre - reach < points.max(0)).all(1)
        hit: NDArray[np.bool_] = np.any(contains(points, centre[near], axes[near], half[near] + margin), axis=1)
        for plane in self._planes:
            hit |= points[:, 2] < self._data.geom_xpos[plane][2] + 0.001
        return hit

    def _oriented(self, mine: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
        geoms = self._geoms[mine]
        axes = self._data.geom_xmat[geoms].reshape(-1, 3, 3)
        centre = self._data.geom_xpos[geoms] + np.einsum("gij,gj->gi", axes, self._middle[mine])
        return centre, axes, self._half[mine]

    @staticmethod
    def _corners(centre: Floats, axes: Floats, half: Floats) -> Floats:
        corners: Floats = centre[:, None] + np.einsum("gij,gkj->gki", axes, CORNERS[None] * half[:, None])
        return corners


def contains(points: Floats, centre: Floats, axes: Floats, half: Floats) -> NDArray[np.bool_]:
    """(P, G) which of points (P, 3) lie in which oriented boxes."""
    away = np.einsum("pgj,gji->pgi", points[:, None] - centre[None], axes)
    within: NDArray[np.bool_] = np.all(np.abs(away) < half, axis=2)
    return within


def highest_on_way(upright: Floats, start: Floats, end: Floats, radius: float, ahead: float = 0.14) -> float:
    """Highest top of the boxes within ``radius`` of the next ``ahead`` metres of the way to ``end``; -1 if none."""
    length = float(np.linalg.norm(end[:2] - start[:2]))
    part = np.linspace(0, min(1.0, ahead / max(length, 1e-6)), max(2, int(length / 0.02)))[:, None]
    way = start[:2] + part * (end[:2] - start[:2])
    near = (way[:, None] > upright[None, :, :2] - radius) & (way[:, None] < upright[None, :, 3:5] + radius)
    met = near.all(2).any(0)
    return float(upright[met, 5].max()) if met.any() else -1.0
