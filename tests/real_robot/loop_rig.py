"""A deploy loop over an arm server in this process, with policies and cameras made of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from robo_reward.contracts import Observation
from robo_reward.real_robot.deploy.camera_watch import Trouble
from robo_reward.real_robot.deploy.critic import Critic, Watchers
from robo_reward.real_robot.deploy.goals import GoalMaker
from robo_reward.real_robot.deploy.interface import PolicyInterface
from robo_reward.real_robot.deploy.loop import DeployLoop, LoopPlan
from robo_reward.real_robot.deploy.metronome import Metronome
from robo_reward.real_robot.deploy.record import Record
from robo_reward.real_robot.watches import WatchPlan

NAMES = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
KEYS = tuple(f"{name}.pos" for name in NAMES)
Start = Callable[..., Any]
PICTURE = np.full((1, 24, 32, 3), 90, np.uint8)
LOW, HIGH = (-90.0,) * 5 + (0.0,), (90.0,) * 5 + (100.0,)


def interface(**more: Any) -> PolicyInterface:
    given = {"joints": KEYS, "control": "steps", "low": LOW, "high": HIGH, "speed": (60.0,) * 6, "fps": 30.0}
    return PolicyInterface(**{**given, "views": ("front",), "height": 24, "width": 32, "task": "reach", **more})


def calm(start: Start) -> Any:
    """A server that bears a machine which is busy with other things."""
    return start(watches=WatchPlan(reading_age=1.0, bus_lost=5.0))


class Scripted:
    """Says ``actions(number of the look)``: (K, 6)."""

    def __init__(self, actions: Callable[[int], Any]) -> None:
        self.actions, self.looks = actions, 0

    def act(self, observation: Observation) -> Any:
        self.looks += 1
        return np.asarray(self.actions(self.looks - 1), np.float32)[None]

    def reset(self, fresh: Any) -> None:
        self.looks = 0

    def save(self, folder: Any) -> None: ...


class Sees:
    """Cameras that are in trouble from one look to another."""

    def __init__(self, trouble: Trouble | None = None, first: int = 0, last: int = 10**6) -> None:
        self.trouble, self.first, self.last, self.looks = trouble, first, last, 0

    def look(self, joints: Any) -> tuple[dict[str, Any], Trouble | None]:
        self.looks += 1
        if self.trouble is not None and self.first <= self.looks <= self.last:
            return {}, self.trouble
        return {"front": PICTURE}, None


def pan(step: float, chunk: int = 1) -> list[list[float]]:
    return [[step, 0, 0, 0, 0, 0]] * chunk


def loop(rig: Any, policy: Scripted, **more: Any) -> DeployLoop:
    face = more.pop("interface", interface())
    watchers = more.pop("watchers", Watchers())
    rig.client.arm()
    acceleration = np.array(rig.client.about["limits"]["acceleration"])
    plan = LoopPlan(**{"seconds": 2.0, "patience": 0.8, "joints_age": 2.0, **more.pop("plan", {})})
    return DeployLoop(
        arm=rig.client,
        eyes=more.pop("eyes", Sees()),
        policy=policy,
        interface=face,
        maker=GoalMaker(face, acceleration),
        critic_of=lambda first: Critic(watchers, face.fps, first),
        record=Record(face.views, face.fps, face.task),
        plan=plan,
        metronome=Metronome(face.fps),
        **more,
    )


def on_wire(rig: Any, name: str = "shoulder_pan") -> np.ndarray:
    return np.asarray(rig.arm.wire.goals_in_units(name)[1])
