"""Whose code failed: a reward, world or hook of the user's, or ours."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path
from types import FrameType

LIBRARIES = tuple(
    Path(sysconfig.get_paths()[name]).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")
)


def place_in_users_code(error: BaseException) -> str | None:
    """``FILE:LINE (function)`` where code that is neither ours nor an installed library's failed; None: nowhere.

    What counts is the innermost frame that is no library's: numpy stumbles over what it is given.
    """
    own = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if not _of_library(frame)]
    if not own or _ours(own[-1][0]):
        return None
    frame, line = own[-1]
    return f"{frame.f_code.co_filename}:{line} ({frame.f_code.co_name})"


def _ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).split(".")[0] in ("robo_reward", "__main__")


def _of_library(frame: FrameType) -> bool:
    if _ours(frame):
        return False
    file = frame.f_code.co_filename
    return file.startswith("<") or any(Path(file).resolve().is_relative_to(place) for place in LIBRARIES)
