"""Refuses pictures of the wrong size before anything is stepped: a reward reads pictures of one size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robo_reward.errors import UserError
from robo_reward.trace import Trace

Size = tuple[int, int]


def picture_size(env: Any) -> Size | None:
    """(height, width) of an ``env`` group's pictures; None where it does not say both."""
    height, width = env.get("height"), env.get("width")
    return None if height is None or width is None else (int(height), int(width))


def check_picture_sizes(
    env: Any, demonstrations: Sequence[Trace], views: Sequence[str], readers: Mapping[str, Any]
) -> None:
    """Compares an ``env`` group's (height, width) with what was recorded and with what was fitted.

    ``readers``: name -> whoever reads the world's pictures; one that was fitted has ``frame_size``. Worlds without
    pictures have no height and are not checked.

    Raises:
        UserError: that names both sizes and the settings that make them equal.
    """
    shown = picture_size(env)
    if shown is None:
        return
    recorded = (
        (f"the demonstrations' {v}", t.frames[v].shape[1:3]) for t in demonstrations for v in views if v in t.frames
    )
    fitted = ((f"what {name} was fitted on", getattr(reader, "frame_size", None)) for name, reader in readers.items())
    for what, size in (*recorded, *fitted):
        if size is not None and tuple(size) != shown:
            raise UserError(
                f"pictures of the env are {shown[0]}x{shown[1]}, {what} {size[0]}x{size[1]}: one reward reads pictures "
                f"of one size, so set env.height={size[0]} env.width={size[1]}"
            )
