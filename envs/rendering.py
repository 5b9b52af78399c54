"""Turns a MuJoCo state into a picture, cheaply (fast) or beautifully (pretty), without a window."""

from __future__ import annotations

import atexit
import ctypes
import functools
import math
import os
import sys
import time
import warnings
import weakref
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.envs.light_meshes import light_meshes
from robo_reward.errors import UserError, unknown_name

if TYPE_CHECKING:
    import mujoco

Profile = Literal["fast", "pretty"]
FREE_VIEW = "free"
"""The view that every model has: MuJoCo's own camera, far enough away to see everything."""

NO_GL = (
    "no picture can be rendered: {cause}. On Debian and Ubuntu: apt-get install libegl1 libgl1; or set "
    "MUJOCO_GL=osmesa with libosmesa6 installed. Runs that read no view need none of this."
)


LIGHT_CELL = 0.006
"""Metres within which the fast profile merges a mesh's vertices: cheaper, and hardly another picture."""


@dataclass(frozen=True, slots=True)
class ExtraCamera:
    """A camera that the model lacks: it stands at ``pos`` and looks at ``target`` (metres), world z upwards.

    ``fovy`` is the vertical field of view in degrees, (0, 180). With ``track`` (a body's name) both points
    move with that body: they are then offsets from it, without its rotation.
    """

    pos: tuple[float, float, float]
    target: tuple[float, float, float] = (0.0, 0.0, 0.0)
    fovy: float = 45.0
    track: str | None = None

    def __post_init__(self) -> None:
        if len(self.pos) != 3 or len(self.target) != 3:
            raise UserError(f"a camera's pos and target need 3 numbers each, got {self.pos} and {self.target}")
        if not 0 < self.fovy < 180:
            raise UserError(f"a camera's fovy must lie between 0 and 180 degrees, got {self.fovy}")
        if math.dist(self.pos, self.target) < 1e-6:
            raise UserError(f"a camera at {self.pos} cannot look at the point where it stands; move its target")

    @classmethod
    def from_settings(cls, name: str, settings: Any) -> ExtraCamera:
        """Reads one entry of ``env.cameras``; unknown or missing keys and wrong values raise a ``UserError``."""
        known = {"pos", "target", "fovy", "track"}
        if not isinstance(settings, Mapping):
            raise UserError(
                f"camera '{name}' is {settings}, but needs settings: env.cameras={{{name}: {{pos: [x,y,z]}}}}"
            )
        for key in settings:
            if key not in known:
                raise unknown_name(f"setting of camera '{name}'", str(key), known)
        if "pos" not in settings:
            raise UserError(f"camera '{name}' needs pos=[x,y,z] in metres")
        values = dict(settings)
        for key in {"pos", "target"} & set(settings):
            values[key] = _point(name, key, settings[key])
        if not _is_number(values.get("fovy", 0.0)):
            raise UserError(f"camera '{name}': fovy={values['fovy']} must be a number of degrees")
        if not isinstance(values.get("track"), str | None):
            raise UserError(f"camera '{name}': track={values['track']} must be the name of a body")
        try:
            return cls(**values)
        except UserError as error:
            raise UserError(f"camera '{name}': {error}") from None


def extra_cameras(cameras: Any) -> dict[str, ExtraCamera]:
    """The cameras of ``env.cameras``: name -> settings, or None for none. ``UserError`` for anything else."""
    if cameras is None:
        return {}
    if not isinstance(cameras, Mapping):
        raise UserError(
            f"env.cameras={cameras} must give each camera's settings: env.cameras={{side: {{pos: [x,y,z]}}}}"
        )
    return {str(name): ExtraCamera.from_settings(str(name), settings) for name, settings in cameras.items()}


def _point(name: str, key: str, value: Any) -> tuple[float, ...]:
    if not isinstance(value, Sequence) or len(value) != 3 or not all(_is_number(v) for v in value):
        raise UserError(f"camera '{name}': {key}={value} must be 3 numbers, [x,y,z] in metres")
    return tuple(float(v) for v in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def choose_renderer() -> None:
    """Chooses EGL on Linux unless the user set MUJOCO_GL; to be called before mujoco is imported."""
    if sys.platform != "linux" or os.environ.get("MUJOCO_GL"):
        return
    if "mujoco" in sys.modules:
        warnings.warn(
            "mujoco was imported before robo-reward could choose EGL; set MUJOCO_GL=egl in the environment",
            RuntimeWarning,
            stacklevel=2,
        )
        return
    # Without libEGL the import of mujoco itself would fail; physics alone needs no renderer.
    os.environ["MUJOCO_GL"] = "egl" if _has_egl() else "disable"


def _has_egl() -> bool:
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError:
        return False
    return True


def camera_names(model: mujoco.MjModel) -> tuple[str, ...]:
    """The named cameras of a model, in its order."""
    names = (model.camera(i).name for i in range(model.ncam))
    return tuple(name for name in names if name)


class CameraRenderer:
    """Renders the named cameras of one model; the GL context is made at the first frame.

    ``fast``: no multisampling, shadows or reflections, and meshes without details below 6 mm; ``pretty``: the model's
    own quality, for videos.
    ``frames`` counts pictures, ``seconds`` the processor time spent on them (all threads of this process).
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        height: int,
        width: int,
        profile: Profile = "fast",
        cameras: Mapping[str, ExtraCamera] | None = None,
    ) -> None:
        if profile not in ("fast", "pretty"):
            raise unknown_name("rendering profile", profile, ("fast", "pretty"))
        if min(height, width) < 8 or max(height, width) > 4096:
            raise UserError(f"a picture must be 8 to 4096 pixels high and wide, got {height} x {width}")
        self._model, self._data = model, data
        self._height, self._width = height, width
        self._profile: Profile = profile
        self._cameras = dict(cameras or {})
        self._renderer: mujoco.Renderer | None = None
        self.frames = 0
        self.seconds = 0.0

    def render(self, camera: str) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 picture of the present state. UserError where the machine has no GL."""
        start = time.process_time()
        renderer = self._renderer or self._open()
        extra = self._cameras.get(camera)
        if extra is None:
            self._update_scene(renderer, -1 if camera == FREE_VIEW else camera)
        else:
            self._look_through(renderer, extra)
        if self._profile == "fast":
            self._strip(renderer)
        frame: NDArray[np.uint8] = renderer.render()
        self.frames += 1
        self.seconds += time.process_time() - start
        return frame

    def close(self) -> None:
        """Frees the GL context; the next ``render`` makes a new one."""
        if self._renderer is not None:
            _close(self._renderer)
            self._renderer = None

    def _open(self) -> mujoco.Renderer:
        with self._lightened():
            self._renderer = _open_renderer(self._model, self._height, self._width, self._profile)
        return self._renderer

    def _lightened(self) -> AbstractContextManager[None]:
        """Within it the context is made: the meshes are then as it will draw them."""
        cell = min(LIGHT_CELL, 0.01 * float(self._model.stat.extent)) if self._profile == "fast" else 0.0
        return light_meshes(self._model, cell)

    def _update_scene(self, renderer: mujoco.Renderer, camera: str | int) -> None:
        renderer.update_scene(self._data, camera=camera)

    def _strip(self, renderer: mujoco.Renderer) -> None:
        import mujoco

        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False

    def _look_through(self, renderer: mujoco.Renderer, extra: ExtraCamera) -> None:
        """Uses MuJoCo's movable camera, so that compiled models (Gymnasium's) can have extra cameras too."""
        import mujoco

        camera = mujoco.MjvCamera()
        offset = np.subtract(extra.target, extra.pos)
        camera.distance = float(np.linalg.norm(offset))
        camera.azimuth = math.degrees(math.atan2(offset[1], offset[0]))
        camera.elevation = math.degrees(math.asin(offset[2] / camera.distance))
        camera.lookat[:] = extra.target
        if extra.track is not None:
            camera.lookat[:] += self._data.body(extra.track).xpos
        before = self._model.vis.global_.fovy
        self._model.vis.global_.fovy = extra.fovy
        renderer.update_scene(self._data, camera=camera)
        self._model.vis.global_.fovy = before


_open_renderers: weakref.WeakSet[Any] = weakref.WeakSet()


def _open_renderer(model: mujoco.MjModel, height: int, width: int, profile: Profile) -> mujoco.Renderer:
    """Makes the context; the model's quality settings count only at this moment, so they are put back."""
    import mujoco

    _require_gl()
    visual, quality = model.vis.global_, model.vis.quality
    visual.offwidth, visual.offheight = max(visual.offwidth, width), max(visual.offheight, height)
    before = (quality.offsamples, quality.shadowsize)
    if profile == "fast":
        quality.offsamples, quality.shadowsize = 0, 0
    try:
        renderer = mujoco.Renderer(model, height, width)
    finally:
        quality.offsamples, quality.shadowsize = before
    # Registered after EGL's own clean-up, hence run before it: contexts go first, then the display.
    if not _open_renderers:
        atexit.unregister(_close_all)
        atexit.register(_close_all)
    _open_renderers.add(renderer)
    return renderer


@functools.cache
def _require_gl() -> None:
    """Tries a context alone, once: MuJoCo's renderer leaves noise behind when it fails, or aborts the process."""
    from mujoco import gl_context

    make = getattr(gl_context, "GLContext", None)
    if make is None:
        raise UserError(NO_GL.format(cause="no EGL library was found, or MUJOCO_GL says disable"))
    windowed = make.__module__ == "mujoco.glfw" and sys.platform == "linux"
    if windowed and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UserError(NO_GL.format(cause="GLFW was chosen, which needs a display; set MUJOCO_GL=egl"))
    try:
        make(16, 16).free()
    except Exception as error:  # each GL backend fails with an exception of its own
        raise UserError(NO_GL.format(cause=f"{type(error).__name__}: {error}")) from error


def _close(renderer: Any) -> None:
    """Frees MuJoCo's buffers while their context still exists; mujoco's ``close`` does it the other way."""
    if renderer._gl_context is not None and renderer._mjr_context is not None:
        renderer._gl_context.make_current()
        renderer._mjr_context.free()
        renderer._mjr_context = None
    renderer.close()
    _open_renderers.discard(renderer)


def _close_all() -> None:
    for renderer in list(_open_renderers):
        try:
            _close(renderer)
        except (
            Exception
        ):  # drawn last in another thread, which holds its context; that ends with the process, in silence
            context = renderer._gl_context
            renderer._gl_context = renderer._mjr_context = None
            if hasattr(context, "_context"):
                context._context = None
