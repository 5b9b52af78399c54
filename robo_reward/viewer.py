"""Shows a world in MuJoCo's own window, in real time."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Protocol, Self, runtime_checkable

from robo_reward.contracts import Transition, World
from robo_reward.errors import UserError


@runtime_checkable
class Viewable(Protocol):
    """A world that lets MuJoCo's live model and data be seen."""

    def simulator(self, index: int) -> tuple[Any, Any]: ...


class Viewer:
    """An open window on one world. Closing it ends the watching, not the episodes: they go on at full speed."""

    def __init__(self, window: Any, seconds: float) -> None:
        """``window``: a handle of ``mujoco.viewer.launch_passive``; ``seconds`` that one decision lasts."""
        self._window, self._seconds = window, seconds
        self._due = time.monotonic()

    @classmethod
    def of(cls, world: World) -> Self:
        """Opens a window on the first copy of a world.

        Raises:
            UserError: no screen, or a world that is not simulated in this process.
        """
        if not isinstance(world, Viewable):
            raise UserError(f"'{world.name}' is not simulated here, so MuJoCo's viewer cannot show it: view=false")
        check_screen()
        model, data = world.simulator(0)
        import mujoco.viewer

        try:
            window = mujoco.viewer.launch_passive(model, data, show_left_ui=False, show_right_ui=False)
        except RuntimeError as error:
            # on macOS a window belongs to the main thread, which only mjpython leaves free
            raise UserError(f"MuJoCo's viewer did not open ({error}); on macOS run it with mjpython") from error
        return cls(window, 1 / world.fps)

    def show(self, transition: Transition) -> None:
        """Draws the present state and waits until the decision's time has passed."""
        if not self._window.is_running():
            return
        self._window.sync()
        self._due = max(self._due + self._seconds, time.monotonic() - self._seconds)
        time.sleep(max(0.0, self._due - time.monotonic()))

    def close(self) -> None:
        """Closes the window."""
        self._window.close()


def check_screen(asked: str = "view=true", instead: str = "leave it out and watch the video in the run folder") -> None:
    """UserError where no window can be opened; ``asked``: the override that needs one, ``instead``: the way out."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise UserError(
            f"{asked} needs a screen, and neither DISPLAY nor WAYLAND_DISPLAY is set: run it on a desktop, or {instead}"
        )
