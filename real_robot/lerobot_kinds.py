"""Makes LeRobot know its own robots and cameras by name, which it does only once their modules are imported."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from robo_reward.errors import UserError, unknown_name


def learn_kinds() -> None:
    """All that LeRobot brings. Not every one of its programs does so: lerobot-replay knows few cameras."""
    import lerobot.cameras
    import lerobot.robots

    for package in (lerobot.robots, lerobot.cameras):
        for module in pkgutil.iter_modules(package.__path__):
            with contextlib.suppress(Exception):  # a kind whose own packages are absent or broken stays unknown
                importlib.import_module(f"{package.__name__}.{module.name}")


def check_kinds(inner: Mapping[str, Any]) -> None:
    """Raises UserError for a robot or camera that LeRobot and its plug-ins do not know, and where a port is missing.

    ``inner``: a robot as LeRobot writes it.
    """
    from lerobot.cameras.configs import CameraConfig
    from lerobot.robots.config import RobotConfig

    kind, cameras = str(inner["type"]), inner.get("cameras") or {}
    kinds = {name: camera.get("type") for name, camera in cameras.items()}
    robots, known = set(RobotConfig.get_known_choices()), set(CameraConfig.get_known_choices())
    if kind not in robots or not set(kinds.values()) <= known:
        from lerobot.utils.import_utils import register_third_party_plugins

        register_third_party_plugins()
    robots, known = set(RobotConfig.get_known_choices()) - {"guarded_robot"}, set(CameraConfig.get_known_choices())
    if kind not in robots:
        raise unknown_name("robot.inner.type", kind, robots)
    for name, camera in kinds.items():
        if camera not in known:
            raise unknown_name(f"type of camera '{name}' (robot.cameras.{name}.type)", str(camera), known)
    has_port = "port" in {field.name for field in fields(RobotConfig.get_choice_class(kind))}
    if has_port and inner.get("port") is None:
        raise UserError("robot.port is not set: `lerobot-find-port` tells which, e.g. robot.port=/dev/ttyACM0")
