"""Pictures of a LIBERO scene: what the camera cannot see is not drawn, and the robot's meshes may be lighter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.light_meshes import light_meshes
from robo_reward.envs.rendering import LIGHT_CELL, CameraRenderer, Profile

if TYPE_CHECKING:
    import mujoco

Meshes = Literal["published", "light", "lighter"]
ROBOT = ("robot0_", "gripper0_", "mount0_")
COLLISION, VISUAL, UNSEEN = 0, 1, 5
"""Groups of geoms: robosuite's first two, and one of our own that is never drawn."""
THING_CELL = 0.004
"""Metres within which the meshes of things lose their vertices in ``lighter``: about a pixel of 128."""
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)


class ScenePictures(CameraRenderer):
    """Renders one LIBERO model. ``meshes="light"`` merges the robot's visual vertices within 6 mm; ``lighter`` also
    those of the things, within 4 mm: about half the time.

    ``fast``: no multisampling, shadows or reflections; ``pretty``: as the published environment renders.
    In ``fast``, geoms whose bounding box lies outside the field of view are left out: the picture stays the same.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        height: int,
        width: int,
        profile: Profile = "fast",
        meshes: Meshes = "published",
    ) -> None:
        import mujoco

        super().__init__(model, data, height, width, profile)
        self._meshes = meshes
        self._aspect = width / height
        self._groups = model.geom_group.copy()
        self._drawn = np.flatnonzero((self._groups == VISUAL) & (model.geom_type != mujoco.mjtGeom.mjGEOM_PLANE))
        boxes = model.geom_aabb[self._drawn]
        self._corners = boxes[:, None, :3] + CORNERS * boxes[:, None, 3:]
        self._option = mujoco.MjvOption()
        self._option.geomgroup[COLLISION] = 0
        self._option.geomgroup[UNSEEN] = 0

    @contextmanager
    def _lightened(self) -> Iterator[None]:
        robot = robot_meshes(self._model)
        things = np.setdiff1d(np.arange(self._model.nmesh), robot)
        with (
            light_meshes(self._model, 0.0 if self._meshes == "published" else LIGHT_CELL, robot),
            light_meshes(self._model, THING_CELL if self._meshes == "lighter" else 0.0, things),
        ):
            yield

    def _update_scene(self, renderer: mujoco.Renderer, camera: str | int) -> None:
        if isinstance(camera, str) and self._profile == "fast":  # shadows may fall in from outside
            self._model.geom_group[self._drawn[~self._in_sight(camera)]] = UNSEEN
        try:
            renderer.update_scene(self._data, camera=camera, scene_option=self._option)
        finally:
            self._model.geom_group[:] = self._groups

    def _in_sight(self, camera: str) -> NDArray[np.bool_]:
        """(n,) False where all corners of a geom's box lie beyond the same side of the view."""
        data, number = self._data, self._model.camera(camera).id
        places, turns = data.geom_xpos[self._drawn], data.geom_xmat[self._drawn].reshape(-1, 3, 3)
        corners = np.einsum("gij,gcj->gci", turns, self._corners) + places[:, None] - data.cam_xpos[number]
        seen = corners @ data.cam_xmat[number].reshape(3, 3)
        across, up, ahead = seen[..., 0], seen[..., 1], -seen[..., 2]
        high = np.tan(np.radians(self._model.cam_fovy[number]) / 2) * ahead
        wide = high * self._aspect
        beyond = [across > wide, across < -wide, up > high, up < -high, ahead < 0]
        hidden: NDArray[np.bool_] = np.any([side.all(1) for side in beyond], axis=0)
        return ~hidden


def robot_meshes(model: mujoco.MjModel) -> NDArray[np.int64]:
    """The numbers of the meshes that only draw the robot: most of a scene's triangles, without textures."""
    import mujoco

    drawn = (model.geom_type == mujoco.mjtGeom.mjGEOM_MESH) & (model.geom_group == VISUAL)
    robot = np.array([model.body(body).name.startswith(ROBOT) for body in model.geom_bodyid])
    mine, others = model.geom_dataid[drawn & robot], model.geom_dataid[drawn & ~robot]
    return np.setdiff1d(np.unique(mine), np.unique(others)).astype(np.int64)
