"""Pictures of any world of a batch from its state alone, with one renderer for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from robo_reward.contracts import Frames
from robo_reward.envs.locomotion.batched_sim import Array, BatchedSim
from robo_reward.envs.rendering import FREE_VIEW, CameraRenderer, ExtraCamera, Profile, camera_names
from robo_reward.errors import unknown_name

if TYPE_CHECKING:
    import mujoco


class StateCamera:
    """Renders ``views``: cameras of the model, ``cameras`` that are added to it, or MuJoCo's free one.

    All worlds are drawn with the first variant's shapes; variants differ in masses, friction and strength, and worlds
    on different terrains must not share a camera.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        views: tuple[str, ...],
        height: int,
        width: int,
        profile: Profile = "fast",
        cameras: Mapping[str, ExtraCamera] | None = None,
    ) -> None:
        self._model, self._cameras = model, dict(cameras or {})
        self._size = (height, width)
        self._profile: Profile = profile
        known = (*camera_names(model), *self._cameras, FREE_VIEW)
        for name in views:
            if name not in known:
                raise unknown_name("view", name, known)
        self.views = views
        self._data: mujoco.MjData | None = None
        self._renderers: dict[tuple[Profile, int, int], CameraRenderer] = {}

    @property
    def frames(self) -> int:
        """Pictures made so far."""
        return sum(r.frames for r in self._renderers.values())

    @property
    def seconds(self) -> float:
        """Processor seconds spent on them."""
        return sum(r.seconds for r in self._renderers.values())

    def pictures(self, sim: BatchedSim, states: Array, view: str) -> Frames:
        """(N, H, W, 3) uint8 of all rows of ``states``."""
        return np.stack([self.picture(sim, i, s, view, self._size, self._profile) for i, s in enumerate(states)])

    def picture(
        self, sim: BatchedSim, index: int, state: Array, view: str, size: tuple[int, int], profile: Profile
    ) -> Frames:
        """(H, W, 3) uint8 of one world's state; ``size`` is (height, width)."""
        import mujoco

        if self._data is None:
            self._data = mujoco.MjData(self._model)
        key = (profile, *size)
        if key not in self._renderers:
            self._renderers[key] = CameraRenderer(self._model, self._data, *size, profile, self._cameras)
        sim.show(index, state, self._data)
        return self._renderers[key].render(view)

    def close(self) -> None:
        """Frees the GL contexts."""
        for renderer in self._renderers.values():
            renderer.close()
