"""Makes a guarded robot of the yaml group ``robot``, with the same keys as on LeRobot's command lines."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from robo_reward.errors import MissingExtra, UserError, unknown_name

INNER = "robot.inner={type: koch_follower, port: /dev/ttyACM0}"


def guarded_robot(
    inner: Mapping[str, Any] | None,
    port: str | None = None,
    cameras: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Any:
    """A ``GuardedRobot`` that is not connected; ``inner``: any LeRobot robot, ``settings``: ``GuardedRobotConfig``'s.

    Raises:
        UserError: the port is missing or a setting is not one.
        MissingExtra: the servo's SDK is not installed.
    """
    whole = {**(inner or {}), **({"port": str(port)} if port is not None else {})}
    whole |= {"cameras": dict(cameras)} if cameras else {}
    if not whole.get("type"):
        raise UserError(f"robot.inner says which of LeRobot's robots it is, e.g. {INNER}")
    _register()
    import draccus

    from robo_reward.real_robot.config_guarded_robot import GuardedRobotConfig
    from robo_reward.real_robot.guarded_robot import GuardedRobot

    _check_kind(str(whole["type"]), whole)
    given = _set(settings)
    try:
        config = draccus.decode(GuardedRobotConfig, {**given, "inner": whole})
    except (draccus.utils.DraccusException, TypeError, ValueError) as error:
        raise UserError(f"the robot's settings cannot be read: {error}") from error
    try:
        return GuardedRobot(config)
    except ImportError as error:  # LeRobot's, which names what to install
        raise UserError(f"robot '{whole['type']}' cannot be driven here: {error}") from error


def _set(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is null, at any depth: it keeps its default."""
    return {
        key: _set(value) if isinstance(value, Mapping) else value
        for key, value in settings.items()
        if value is not None
    }


def _register() -> None:
    """LeRobot knows robots and cameras by name only once their modules are imported."""
    try:
        import lerobot.cameras
        import lerobot.robots
        import scservo_sdk  # type: ignore[import-untyped]  # noqa: F401
    except ImportError as error:
        raise MissingExtra("lerobot[feetech]", "arm", "driving an arm") from error
    for package in (lerobot.robots, lerobot.cameras):
        for module in pkgutil.iter_modules(package.__path__):
            with contextlib.suppress(ImportError):  # a kind whose own packages are absent stays unknown
                importlib.import_module(f"{package.__name__}.{module.name}")


def _check_kind(kind: str, given: Mapping[str, Any]) -> None:
    """Raises UserError for a robot or camera that LeRobot and its plug-ins do not know, and where a port is missing."""
    from lerobot.cameras.configs import CameraConfig
    from lerobot.robots.config import RobotConfig

    cameras = {name: camera.get("type") for name, camera in given.get("cameras", {}).items()}
    if kind not in RobotConfig.get_known_choices() or not set(cameras.values()) <= set(
        CameraConfig.get_known_choices()
    ):
        from lerobot.utils.import_utils import register_third_party_plugins

        register_third_party_plugins()
    robots, known = set(RobotConfig.get_known_choices()) - {"guarded_robot"}, set(CameraConfig.get_known_choices())
    if kind not in robots:
        raise unknown_name("robot.inner.type", kind, robots)
    for name, camera in cameras.items():
        if camera not in known:
            raise unknown_name(f"type of camera '{name}' (robot.cameras.{name}.type)", str(camera), known)
    has_port = "port" in {field.name for field in fields(RobotConfig.get_choice_class(kind))}
    if has_port and given.get("port") is None:
        raise UserError("robot.port is not set: `lerobot-find-port` tells which, e.g. robot.port=/dev/ttyACM0")
