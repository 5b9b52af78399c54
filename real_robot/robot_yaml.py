"""Makes a guarded robot of the yaml group ``robot``, with the same keys as on LeRobot's command lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robo_reward.errors import MissingExtra, UserError

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
    _need_packages()
    import draccus

    from robo_reward.real_robot.config_guarded_robot import GuardedRobotConfig
    from robo_reward.real_robot.guarded_robot import GuardedRobot
    from robo_reward.real_robot.lerobot_kinds import check_kinds, learn_kinds

    learn_kinds()
    check_kinds(whole)
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


def _need_packages() -> None:
    try:
        import lerobot.robots  # noqa: F401
        import scservo_sdk  # type: ignore[import-untyped]  # noqa: F401
    except ImportError as error:
        raise MissingExtra("lerobot[feetech]", "arm", "driving an arm") from error
