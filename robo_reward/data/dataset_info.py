"""Checks ``meta/info.json`` of a LeRobotDataset before anything is computed with it: it may be damaged, or hostile."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from robo_reward.errors import UserError

_FIELD = re.compile(r"\{(chunk_index|file_index|video_key)(:0?\d{1,2}d)?\}")


def check_info(info: Any, path: Path) -> None:
    """Refuses what a dataset cannot be read with; ``path`` is named in the message.

    Raises:
        UserError: a key that is missing, a rate that is no rate, features without dtype or shape, or templates of paths
            that name anything but chunk, file and video.
    """
    missing = [key for key in ("fps", "features", "data_path") if not isinstance(info, Mapping) or key not in info]
    if missing:
        raise UserError(f"'{path}' lacks {', '.join(missing)}; copy or download the dataset again")
    fps, total = info["fps"], info.get("total_episodes", 0)
    if not (_number(fps) and math.isfinite(fps) and fps > 0):
        _damaged(path, f"fps is {fps!r}, which is no number above 0")
    if not (_number(total) and math.isfinite(total)):
        _damaged(path, f"total_episodes is {total!r}, which is no number")
    if not isinstance(info["features"], Mapping):
        _damaged(path, "features is no mapping")
    for name, feature in info["features"].items():
        _check_feature(str(name), feature, path)
    for key in ("data_path", "video_path"):
        template = info.get(key)
        if template is not None and not (isinstance(template, str) and "{" not in _FIELD.sub("", template)):
            _damaged(path, f"{key} is {template!r}, which names more than chunk_index, file_index and video_key")


def inside(root: Path, relative: str, name: str) -> Path:
    """``root / relative``. UserError where that leads out of ``root``."""
    parts = PurePosixPath(relative)
    if parts.is_absolute() or ".." in parts.parts:
        raise UserError(f"dataset '{name}' names the file '{relative}', which lies outside of it: this is refused")
    return root / relative


def _check_feature(name: str, feature: Any, path: Path) -> None:
    shape = feature.get("shape") if isinstance(feature, Mapping) else None
    known = isinstance(shape, list | tuple) and all(type(n) is int and n >= 0 for n in shape)
    if not known or not isinstance(feature.get("dtype"), str):
        _damaged(path, f"the feature '{name}' has no dtype and shape")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _damaged(path: Path, why: str) -> None:
    raise UserError(f"'{path}' is damaged ({why}); copy or download the dataset again")
