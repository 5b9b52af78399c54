"""Makes a guarded robot of the yaml group ``robot``, with the same keys as on LeRobot's command lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robo_reward.errors import MissingExtra, UserError


def guarded_robot(
    inner: Mapping[str, Any],
    port: str | None = None,
    cameras: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Any:
    """A ``GuardedRobot`` that is not connected; ``settings`` are ``GuardedRobotConfig``'s.

    Raises:
        UserError: the port is missing or a setting is not one.
        MissingExtra: the servo's SDK is not installed.
    """
    if port is None:
        raise UserError("robot.port is not set: `lerobot-find-port` tells which, e.g. robot.port=/dev/ttyACM0")
    _register()
    import draccus

    from robo_reward.real_robot.config_guarded_robot import GuardedRobotConfig
    from robo_reward.real_robot.guarded_robot import GuardedRobot

    whole = {**inner, "port": str(port), **({"cameras": dict(cameras)} if cameras else {})}
    given = _set(settings)
    try:
        config = draccus.decode(GuardedRobotConfig, {**given, "inner": whole})
    except (draccus.utils.DraccusException, TypeError, ValueError) as error:
        raise UserError(f"the robot's settings cannot be read: {error}") from error
    return GuardedRobot(config)


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
        import lerobot.cameras.opencv
        import lerobot.cameras.zmq
        import lerobot.robots.so_follower  # noqa: F401
        import scservo_sdk  # type: ignore[import-untyped]  # noqa: F401
    except ImportError as error:
        raise MissingExtra("lerobot[feetech]", "arm", "driving an arm") from error
