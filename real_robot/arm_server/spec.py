"""Everything that an arm server must know, as one JSON file between the process that starts it and itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import draccus
from lerobot.robots.config import RobotConfig

from robo_reward.errors import UserError
from robo_reward.real_robot.guard import CommandPlan
from robo_reward.real_robot.limits import LimitPlan
from robo_reward.real_robot.mujoco_workspace import WorkspacePlan
from robo_reward.real_robot.watches import WatchPlan
from robo_reward.runs import atomic


@dataclass
class ServerSpec:
    """``robot`` is any LeRobot robot's config (its cameras are not opened here); paths are absolute."""

    robot: RobotConfig
    socket: Path
    black_box: Path
    rate_hz: float = 50.0
    limits: LimitPlan = field(default_factory=LimitPlan)
    watches: WatchPlan = field(default_factory=WatchPlan)
    commands: CommandPlan = field(default_factory=CommandPlan)
    workspace: WorkspacePlan | None = None
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Ranges of joints whose robot cannot tell them."""
    rest: dict[str, float] | None = None
    """Where the arm is parked before its torque goes off; None: it is cut where it stands, and sinks."""


OWN = ("socket", "black_box")
"""What two programs may have differently and still mean the same arm."""


def settings_of(spec: ServerSpec) -> dict[str, Any]:
    """Robot and limits as JSON's types, {"limits.velocity": 60.0, ...}: what a running server is compared by."""
    held: dict[str, Any] = json.loads(json.dumps(draccus.encode(spec), default=str))
    return dict(_flat({key: value for key, value in held.items() if key not in OWN}))


def _flat(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def write_spec(spec: ServerSpec, path: Path) -> None:
    """Saves it with the module that registers the robot's config."""
    atomic.write_json(path, {"module": type(spec.robot).__module__, "spec": draccus.encode(spec)})


def read_spec(path: Path) -> ServerSpec:
    """Raises UserError where the file is absent or not such a spec."""
    try:
        saved: Any = json.loads(path.read_text("utf-8"))
        import_module(saved["module"])
        spec: ServerSpec = draccus.decode(ServerSpec, saved["spec"])
    except (OSError, ValueError, KeyError, TypeError, ImportError, draccus.utils.DraccusException) as error:
        raise UserError(f"'{path}' is no arm server's spec: {error}") from error
    if not 10 <= spec.rate_hz <= 200:
        raise UserError(f"rate_hz={spec.rate_hz} must lie between 10 and 200")
    return spec
