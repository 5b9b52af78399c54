"""Puts a server together and brings an arm under torque, in the only order that is safe."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from robo_reward.errors import UserError, unknown_name
from robo_reward.real_robot.any_arm import AnyArm
from robo_reward.real_robot.arm_driver import ArmDriver, ArmRefused, Reading, read_surely
from robo_reward.real_robot.arm_server.control_loop import ControlLoop
from robo_reward.real_robot.arm_server.door import Door
from robo_reward.real_robot.arm_server.spec import ServerSpec, read_spec, settings_of
from robo_reward.real_robot.black_box import BlackBox
from robo_reward.real_robot.braking import Floats
from robo_reward.real_robot.feetech_arm import FeetechArm
from robo_reward.real_robot.guard import Guard
from robo_reward.real_robot.limiter import Limiter
from robo_reward.real_robot.limits import JointLimits
from robo_reward.real_robot.mujoco_workspace import load_workspace
from robo_reward.real_robot.safety_state import Event, SafetyState, State
from robo_reward.real_robot.watches import Watches

CUT_TRIES, CUT_PAUSE = 3, 0.2
"""Seconds between them: a lost packet must not leave a motor powered."""


def make_driver(spec: ServerSpec) -> ArmDriver:
    """The driver that knows most about the spec's robot."""
    from lerobot.robots.utils import make_robot_from_config

    if hasattr(spec.robot, "cameras"):
        spec.robot.cameras = {}  # the policy's process has them
    robot = make_robot_from_config(spec.robot)
    if type(getattr(robot, "bus", None)).__name__ == "FeetechMotorsBus":
        return FeetechArm(robot, spec.limits.torques(list(robot.bus.motors)))
    if spec.limits.torques([*spec.limits.joints, ""]):
        raise UserError("limits.torque: only Feetech arms are told how hard they may push; leave it out")
    return AnyArm(robot, spec.ranges)


class Server:
    """``start`` may refuse with torque untouched; after it ``run`` must be called, which ends with torque off."""

    def __init__(self, spec: ServerSpec, arm: ArmDriver, settings: dict[str, Any] | None = None) -> None:
        """``settings``: the spec as it was asked for, before a robot of somebody else's changed it."""
        self.spec = spec
        self.arm = arm
        self.settings = settings_of(spec) if settings is None else settings
        self.box = BlackBox(spec.black_box)

    @classmethod
    def from_file(cls, path: Path) -> Server:
        """Raises UserError."""
        spec = read_spec(path)
        settings = settings_of(spec)
        return cls(spec, make_driver(spec), settings)

    def check(self) -> None:
        """Opens and checks everything; torque stays as it is. Raises UserError, and the port is free again."""
        self.box.open()
        try:
            self._prepare(self.arm.open())
            if self.box.trouble:
                raise UserError(
                    f"the black box '{self.box.path}' cannot be written ({self.box.trouble}): make room, or give "
                    "robot.black_box=FILE"
                )
        except BaseException as error:
            self.box.add({"t": time.monotonic(), "event": "refused", "value": str(error)})
            self.arm.close()
            raise

    def start(self, ready: Callable[[], None] = lambda: None, wanted: Callable[[], None] = lambda: None) -> None:
        """``check``, then goal := present, then torque. Raises UserError before torque is on.

        ``wanted`` is called right before torque, and raises if nobody waits for it any more; ``ready`` is called last:
        what it raises, like everything before, ends with torque off.
        """
        self.check()
        try:
            wanted()
            self.arm.power()
            self.guard.start(time.monotonic(), read_surely(self.arm).position)
            self.door.open()
            ready()
        except BaseException as error:
            with undisturbed():
                torque = dict(self.arm.cut())
                self.box.add({"t": time.monotonic(), "event": "refused", "value": str(error), "torque": torque})
                self.arm.close()
            if isinstance(error, UserError) or not isinstance(error, Exception):
                raise
            raise ArmRefused(f"the arm could not be powered ({error}); torque: {torque}") from error

    def _prepare(self, ranges: Floats) -> None:
        spec, names = self.spec, self.arm.names
        limits = spec.limits.limits(names, ranges)
        workspace = load_workspace(spec.workspace, names) if spec.workspace else None
        limiter = Limiter(limits, 1 / spec.rate_hz, workspace)
        reading = read_surely(self.arm)
        limiter.check_start(reading.position)
        limiter.start(reading.position[None])
        limiter.step(reading.position[None])  # imports and caches fill before torque is on
        limiter.start(reading.position[None])
        watches = Watches(spec.watches, limits)
        watches.start(time.monotonic(), reading.position)
        trouble = watches.see(time.monotonic(), _without_torque(reading), reading.position)
        if trouble:
            raise ArmRefused(f"the arm is not fit to be powered: {trouble}")
        rest = _pose(spec.rest, limits)
        self.guard = Guard(limiter, watches, SafetyState(self._heard), spec.commands)
        self.loop = ControlLoop(self.arm, self.guard, self.box, rest)
        self.about: dict[str, Any] = {
            "names": list(names),
            "rate_hz": spec.rate_hz,
            "limits": _plain(asdict(limits)),
            "settings": self.settings,
            "black_box": str(spec.black_box),
        }
        self.box.add({"t": time.monotonic(), "event": "start", "value": {**self.about, "wall": time.time()}})
        self.door = Door(self.loop, self.box, spec.socket, self.about)

    def run(self) -> bool:
        """Until stopped; True if it ended in FAULT, or a motor may still be powered. Torque is cut whatever happens."""
        try:
            self.loop.run()
        finally:
            off = self._cut()
            self.door.close()
            self.arm.close()
            self.box.close()
        return not off or self.guard.state.state is State.FAULT

    def _cut(self) -> bool:
        """Torque off, asked for again while any motor does not say so; whether all are off."""
        torque: dict[str, str] = {}
        for turn in range(CUT_TRIES):
            time.sleep(CUT_PAUSE if turn else 0)
            torque = dict(self.arm.cut())
            self.box.add({"t": time.monotonic(), "event": "torque", "value": torque})
            if all(told == "off" for told in torque.values()):
                return True
        print(f"torque may still be on: {torque}", file=sys.stderr)
        return False

    def _heard(self, event: Event) -> None:
        self.box.add({"t": event.at, "event": "state", "value": [event.state, event.reason, event.latched]})


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Signals wait for nothing here: the first one must not interrupt the cutting of torque."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _without_torque(reading: Reading) -> Reading:
    return replace(reading, torque=None)


def _pose(rest: dict[str, float] | None, limits: JointLimits) -> Floats | None:
    """The pose to park in, within the limits. Raises UserError for joints that are missing or do not exist."""
    if rest is None:
        return None
    names = limits.names
    for name in rest:
        if name not in names:
            raise unknown_name("joint in rest", name, names)
    missing = sorted(set(names) - set(rest))
    if missing:
        raise UserError(f"rest lacks the joints {missing}: give all of {list(names)}")
    if not np.isfinite(list(rest.values())).all():
        raise UserError(f"rest={rest} must be finite numbers")
    return np.clip([rest[name] for name in names], limits.lower, limits.upper)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in values.items()}
