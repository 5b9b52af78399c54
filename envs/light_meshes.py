"""Lighter meshes for small pictures: what a 64-pixel frame cannot show need not be drawn 4,000 times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import mujoco

FEW = 100
"""Meshes with fewer faces than this are left alone."""


@contextmanager
def light_meshes(model: mujoco.MjModel, cell: float, meshes: Iterable[int] | None = None) -> Iterator[None]:
    """Inside, the model's meshes have their vertices merged within ``cell`` metres (0: not at all); not afterwards.

    ``meshes``: only those of these numbers; None: all.

    A render context copies the meshes when it is made, so only its making needs the light ones: physics and other
    contexts never see them. On a CPU renderer a robot's visual meshes are most of a small picture's cost.
    """
    if cell <= 0:
        yield
        return
    kept = {name: getattr(model, name).copy() for name in _CHANGED}
    try:
        for mesh in range(model.nmesh) if meshes is None else meshes:
            if model.mesh_facenum[mesh] > FEW:
                _simplify(model, mesh, cell)
        yield
    finally:
        for name, before in kept.items():
            getattr(model, name)[:] = before


_CHANGED = ("mesh_face", "mesh_facenormal", "mesh_facetexcoord", "mesh_facenum")


def _simplify(model: mujoco.MjModel, mesh: int, cell: float) -> None:
    """Merges vertices that share a grid cell and drops the faces that collapse (Rossignac & Borrel 1993)."""
    first, count = int(model.mesh_faceadr[mesh]), int(model.mesh_facenum[mesh])
    start = int(model.mesh_vertadr[mesh])
    vertices = model.mesh_vert[start : start + int(model.mesh_vertnum[mesh])]
    rows = slice(first, first + count)
    faces = _merged(vertices, cell)[model.mesh_face[rows]]
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    _, unique = np.unique(np.sort(faces, 1), axis=0, return_index=True)
    chosen = np.intersect1d(np.flatnonzero(whole), unique)
    if len(chosen) == 0:
        return
    front = slice(first, first + len(chosen))
    model.mesh_facenormal[front] = model.mesh_facenormal[rows][chosen]
    model.mesh_facetexcoord[front] = model.mesh_facetexcoord[rows][chosen]
    model.mesh_face[front] = faces[chosen]
    model.mesh_facenum[mesh] = len(chosen)


def _merged(vertices: NDArray[np.float32], cell: float) -> NDArray[np.int64]:
    """For each vertex the index of the one that stands for its cell."""
    cells = np.floor(vertices / cell).astype(np.int64)
    _, first, inverse = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    return np.asarray(first[inverse.reshape(-1)], np.int64)
