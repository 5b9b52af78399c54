"""The config of a guarded robot, for LeRobot's command lines: ``--robot.type=guarded_robot --robot.inner={...}``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import draccus
from lerobot.robots.config import RobotConfig

from robo_reward.errors import UserError
from robo_reward.real_robot.guard import CommandPlan
from robo_reward.real_robot.lerobot_kinds import learn_kinds
from robo_reward.real_robot.limits import LimitPlan
from robo_reward.real_robot.mujoco_workspace import WorkspacePlan
from robo_reward.real_robot.watches import WatchPlan


@RobotConfig.register_subclass("guarded_robot")
@dataclass(kw_only=True)
class GuardedRobotConfig(RobotConfig):  # type: ignore[misc]
    """Everything but ``inner`` has a default. ``id`` and ``calibration_dir`` are the inner robot's."""

    inner: dict[str, Any]
    """Any LeRobot robot, cameras and all: ``--robot.inner="{type: so101_follower, port: /dev/ttyACM0}"``.

    A mapping and not a RobotConfig: LeRobot's parser follows the kinds of robots into each other without end.
    """
    rate_hz: float = 50.0
    limits: LimitPlan = field(default_factory=LimitPlan)
    watches: WatchPlan = field(default_factory=WatchPlan)
    commands: CommandPlan = field(default_factory=CommandPlan)
    workspace: WorkspacePlan | None = None
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    rest: dict[str, float] | None = None
    socket: Path | None = None
    """Where the arm server listens; None: a place that follows from the port."""
    answer_seconds: float = 0.25
    """The server must answer in this time, or the program stops; the arm is held meanwhile."""
    black_box: Path = Path("runs/arm/black_box.jsonl")
    rearm: bool = False
    """Says that a person has seen to the reason of the last stop."""
    keep_server: bool = False
    """Leave the arm powered and held at the end, for the next program."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.answer_seconds < 60:
            raise UserError(f"robot.answer_seconds={self.answer_seconds} must lie between 0 and 60 seconds")

    def robot(self) -> RobotConfig:
        """The inner robot's config, with this one's ``id`` and ``calibration_dir`` where it has none.

        Raises UserError.
        """
        learn_kinds()
        try:
            inner = draccus.decode(RobotConfig, self.inner)
        except (draccus.utils.DraccusException, TypeError, ValueError) as error:
            raise UserError(f"robot.inner={self.inner} is no LeRobot robot: {error}") from error
        if isinstance(inner, GuardedRobotConfig):
            raise UserError("robot.inner is itself a guarded robot: give the robot that it should guard")
        inner.id = inner.id or self.id
        inner.calibration_dir = inner.calibration_dir or self.calibration_dir
        return inner
