"""What a policy was trained to see and command, saved beside it or read from its run: joints, units, rate, cameras."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError
from robo_reward.joint_goals import GoalSteps
from robo_reward.naming import world_name
from robo_reward.runs import atomic

NAME = "interface.json"
UNITS = "degrees"
"""Body joints in degrees, joints read as a share of their range (grippers) in 0..100: LeRobot's ``use_degrees``."""
GRIPPER_SHARE = 2.0
"""The twin's grippers move by twice as many hundredths a second as its other joints by degrees."""

Control = Literal["goals", "steps"]


@dataclass(frozen=True)
class PolicyInterface:
    """``joints``: LeRobot's keys, in the order of states and of actions, both in ``units``.

    ``control``: "goals" are joint goals; "steps" in [-1, 1] move the last goal within ``low`` and ``high`` by at most
    ``speed`` units a second. ``fps``: decisions a second. Pictures of ``views`` are ``height`` x ``width``. ``start``:
    a pose where its episodes began. ``references``: a picture (H, W, 3) of each view at such a start, if known.
    """

    joints: tuple[str, ...]
    control: Control
    low: tuple[float, ...]
    high: tuple[float, ...]
    speed: tuple[float, ...]
    fps: float
    views: tuple[str, ...]
    height: int
    width: int
    task: str
    start: tuple[float, ...] | None = None
    units: str = UNITS
    horizon: int | None = None
    """Decisions in an episode of training."""
    references: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        rows = {"low": self.low, "high": self.high, "speed": self.speed, "start": self.start or self.low}
        for name, row in rows.items():
            if len(row) != len(self.joints) or not np.isfinite(row).all():
                raise UserError(f"{len(self.joints)} joints need as many finite numbers in '{name}', not {row}")
        if self.control not in ("goals", "steps") or not (0 < self.fps <= 200):
            raise UserError(f"control={self.control} must be goals or steps, fps={self.fps} lie between 0 and 200")

    @property
    def steps(self) -> GoalSteps:
        """What makes goals of its actions where ``control`` is "steps"."""
        return GoalSteps(self.low, self.high, self.speed, self.fps)

    def only(self, views: tuple[str, ...]) -> PolicyInterface:
        """The same with fewer cameras. UserError for one that it does not have."""
        unknown = sorted(set(views) - set(self.views))
        if unknown:
            raise UserError(f"views={list(views)}: the policy was trained with {list(self.views)}, not with {unknown}")
        return replace(self, views=views)

    def save(self, folder: Path) -> None:
        """Writes ``interface.json`` beside the policy, without reference pictures."""
        held = {key: value for key, value in asdict(replace(self, references={})).items() if key != "references"}
        atomic.write_json(folder / NAME, held)


def read_interface(run: Path) -> PolicyInterface:
    """That of the policy in a finished train run: its ``policy/interface.json``, else what the run's world is like.

    Raises:
        UserError: neither says how the policy meets an arm, or it reads what an arm does not know.
    """
    saved = run / "policy" / NAME
    return _saved(saved) if saved.is_file() else _of_world(run)


def _saved(file: Path) -> PolicyInterface:
    try:
        held: dict[str, Any] = json.loads(file.read_text("utf-8"))
        rows: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in held.items()}
        return PolicyInterface(**rows)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"'{file}' does not say how the policy meets an arm: {error}") from error


def _of_world(run: Path) -> PolicyInterface:
    """Asks a world like the run's own."""
    from omegaconf import OmegaConf

    trained: Any = OmegaConf.load(run / "config.yaml")
    return interface_of_world(trained.env, run)


def interface_of_world(env: Any, run: Path) -> PolicyInterface:
    """What a policy of this world (a yaml of the group ``env``) is like; the world is made for that and closed again.

    ``run``: whose it is. UserError where it is no world of an arm's joints.
    """
    from robo_reward.build import load_world

    if "control" not in env or "speed" not in env:
        raise UserError(
            f"the policy in '{run}' was trained in '{world_name(env)}', which is no joint space of an "
            f"arm: train with env=so101, or put {NAME} beside a policy that was made for this arm"
        )
    world: Any = load_world(
        env, run / "config.yaml", num_worlds=1, workers="in_process", oracle="none", control="goals"
    )
    try:
        names, seen = tuple(world.state_names), world.reset(0)
        foreign = [name for name in names if not name.endswith(".pos")]
        if foreign:
            raise UserError(
                f"the policy in '{run}' reads {foreign}, which no arm knows of itself: train with env.features=joints"
            )
        return PolicyInterface(
            joints=names,
            control=env.control,
            low=tuple(world.action_space.low.tolist()),
            high=tuple(world.action_space.high.tolist()),
            speed=tuple(float(env.speed) * (GRIPPER_SHARE if "gripper" in name else 1.0) for name in names),
            fps=float(world.fps),
            views=tuple(world.view_names),
            height=int(env.height),
            width=int(env.width),
            task=seen.task[0],
            start=tuple(seen.state[0].tolist()),
            horizon=int(world.horizon),
            references={view: np.array(seen.views[view][0]) for view in world.view_names},
        )
    finally:
        world.close()
