"""The emulated arm as a whole: servos, bus, plant, cameras, faults, and what can be asked about them."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError
from robo_reward.joint_goals import Drive
from robo_reward.real_robot.emulation import injection
from robo_reward.real_robot.emulation.bus import Bus
from robo_reward.real_robot.emulation.bus_faults import BusFaults
from robo_reward.real_robot.emulation.calibration import (
    MotorCalibration,
    angle_to_tick,
    calibrate,
    to_units,
    write_calibration,
)
from robo_reward.real_robot.emulation.camera_server import CameraServer, CameraSettings
from robo_reward.real_robot.emulation.plant import Plant
from robo_reward.real_robot.emulation.servo import Servo
from robo_reward.real_robot.emulation.wire_log import WireLog

SLOWEST = 0.25
"""Seconds of plant time that one beat catches up with; a machine that stands still longer loses the rest."""
REMEMBERED = 12_000
"""Beats whose true positions are kept: a minute or more."""
SWITCH = 0.0005
"""Seconds for which a thread may keep the interpreter while an arm runs. Feetech's SDK polls without a pause, and with
Python's usual 5 ms a servo in the same process would answer after its 50 ms are over."""
SAMPLE = 0.005
"""Least seconds between two of them."""

Struck = tuple[float, int, Literal["injected", "cleared"]]


class EmulatedArm:
    """A context manager; the package's own text says what it offers.

    ``faults``: ids that stand from the start, or id -> seconds after the start. ``keep``: how many wire events are
    held, None for all (about 20 kB of memory per second at 30 Hz). ``seed``: of the plant's start and of random losses.
    """

    def __init__(
        self,
        plant: Plant,
        faults: Mapping[int, float] | Sequence[int] = (),
        seed: int = 0,
        cameras: CameraSettings | None = None,
        keep: int | None = None,
    ) -> None:
        self.plant, self.seed = plant, seed
        self.calibration: dict[str, MotorCalibration] = calibrate(plant.joints)
        self.servos = {joint.name: Servo(joint, self.calibration[joint.name]) for joint in plant.joints}
        self.line: BusFaults = BusFaults()
        self.wire = WireLog(self.calibration, keep)
        self.bus = Bus(list(self.servos.values()), self.line, self.wire, self._tick, seed)
        self.cameras = CameraServer(plant, cameras) if cameras else None
        self.struck: list[Struck] = []
        self._first = dict(faults) if isinstance(faults, Mapping) else dict.fromkeys(faults, 0.0)
        for fault_id in self._first:
            injection.check(fault_id, self)
        self._undo: dict[int, Callable[[], None]] = {}
        self._due: list[tuple[float, Callable[[], None]]] = []
        self._truth: deque[tuple[float, NDArray[np.float64]]] = deque(maxlen=REMEMBERED)
        self._now = 0.0

    def __enter__(self) -> Self:
        self._switch = sys.getswitchinterval()
        sys.setswitchinterval(min(SWITCH, self._switch))
        self.plant.reset(self.seed)
        self._now = time.perf_counter()
        self._report(0.0)
        for servo in self.servos.values():  # a servo that was switched on has no goal but where it stands
            servo.set("Goal_Position", servo.get("Present_Position"))
        for fault_id, after in self._first.items():
            self.inject(fault_id, after)
        self.bus.start()
        if self.cameras is not None:
            self.cameras.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bus.close()
        sys.setswitchinterval(self._switch)
        failure = self.bus.failure
        if self.cameras is not None:
            self.cameras.close()
            failure = failure or self.cameras.failure
        if failure is not None and error is None:
            raise failure

    @property
    def port(self) -> str:
        """The serial port's path."""
        return self.bus.port

    @property
    def camera_port(self) -> int | None:
        """TCP port of the cameras on 127.0.0.1; None where there are none."""
        return None if self.cameras is None else self.cameras.port

    def write_calibration(self, folder: Path, robot_id: str = "emulated") -> Path:
        """Writes ``folder/robot_id.json`` for LeRobot's calibration_dir and id."""
        return write_calibration(self.calibration, folder, robot_id)

    def inject(self, fault_id: int, at: float = 0.0, **where: Any) -> float:
        """Lets a fault of faults.py strike in ``at`` seconds (0: before this returns); gives its time.

        ``where``: motor=1..6 (default 3), share, seconds, reports, as the list says.

        Raises:
            UserError: no such fault, no fault of the arm, or an arm without what it needs.
        """
        injection.check(fault_id, self)
        told = injection.told(where)
        lasts = injection.LASTS.get(fault_id)
        t = time.perf_counter() + at

        def strike() -> None:
            self._undo[fault_id] = injection.strike(fault_id, self, told)
            self.struck.append((time.perf_counter(), fault_id, "injected"))
            if lasts is not None:
                self._due.append((time.perf_counter() + (told.seconds or lasts), lambda: self.clear(fault_id)))

        with self.bus.lock:
            if at > 0:
                self._due.append((t, strike))
            else:
                strike()
        return t

    def clear(self, fault_id: int) -> None:
        """Takes a fault back where that is possible: a reset servo and a pulled cable stay what they are."""
        with self.bus.lock:
            undo = self._undo.pop(fault_id, None)
            if undo is not None:
                undo()
                self.struck.append((time.perf_counter(), fault_id, "cleared"))

    def jam(self, motor: str, jammed: bool = True) -> None:
        """Blocks a joint mechanically, or frees it."""
        with self.bus.lock:
            self.servos[motor].jammed = jammed

    def positions(self) -> dict[str, float]:
        """Where the joints truly are, in LeRobot's units: {"shoulder_pan.pos": degrees, ..., "gripper.pos": 0..100}."""
        with self.bus.lock:
            units = self._in_units(self.plant.angles())
        return {f"{name}.pos": float(value) for name, value in zip(self.servos, units, strict=True)}

    def truth(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(t (T,), positions (T, J)) of the last minute or more, every 5 ms or so, in LeRobot's units."""
        with self.bus.lock:
            kept = list(self._truth)
        angles = [self._in_units(row) for _, row in kept]
        return np.array([t for t, _ in kept]), np.array(angles).reshape(len(kept), len(self.servos))

    def torque(self) -> dict[str, bool]:
        """Whether each servo has torque on now."""
        with self.bus.lock:
            return {name: servo.powered for name, servo in self.servos.items()}

    def rearrange(self, seed: int) -> None:
        """Puts the plant's things elsewhere, if it has any, while the arm stays."""
        move = getattr(self.plant, "rearrange", None)
        if move is not None:
            with self.bus.lock:
                move(seed)

    def turn(self, back: bool) -> None:
        """What the plant's task is from now on: the one that undoes the first, or the first. UserError: it has none."""
        turn = getattr(self.plant, "turn", None)
        if turn is None:
            raise UserError(f"the plant {type(self.plant).__name__} has no tasks: leave arm.back out")
        with self.bus.lock:
            turn(back)

    def success(self) -> bool | None:
        """Whether the plant's task is done now; None where it has none."""
        test = getattr(self.plant, "success", None)
        return None if test is None else bool(test())

    def left(self) -> float | None:
        """Metres that the plant's task has left, None where it has none: for a simulated person to look at."""
        test = getattr(self.plant, "left", None)
        return None if test is None else float(test())

    def expert_goal(self, last: Sequence[float], fresh: bool) -> list[float]:
        """The joint goals that the plant's scripted expert asks for after ``last``. UserError where it has none."""
        ask = getattr(self.plant, "expert_goal", None)
        if ask is None:
            raise UserError(f"the plant {type(self.plant).__name__} has no scripted expert: use teleop=keyboard")
        return [float(value) for value in ask(np.asarray(last, np.float64), fresh)]

    def _tick(self, now: float) -> None:
        """Moves the plant up to ``now`` and brings about what is due. Called by the bus, which holds its lock."""
        for t, act in [entry for entry in self._due if entry[0] <= now]:
            self._due = [entry for entry in self._due if entry != (t, act)]
            act()
        seconds = now - self._now
        if seconds < 1e-4:
            return
        self._now = now
        self.plant.advance(min(seconds, SLOWEST), self._drive())
        self._report(seconds)
        if not self._truth or now - self._truth[-1][0] >= SAMPLE:
            self._truth.append((now, self.plant.angles()))

    def _drive(self) -> Drive:
        servos = list(self.servos.values())
        return Drive(
            goal=np.array([servo.goal_angle() for servo in servos]),
            powered=np.array([servo.powered for servo in servos]),
            speed=np.array([servo.speed() for servo in servos]),
            acceleration=np.array([servo.acceleration() for servo in servos]),
            torque=np.array([servo.torque_share() for servo in servos]),
            jammed=np.array([servo.jammed for servo in servos]),
        )

    def _report(self, seconds: float) -> None:
        plant = self.plant
        rows = zip(self.servos.values(), plant.angles(), plant.speeds(), plant.loads(), strict=True)
        for servo, angle, speed, load in rows:
            servo.report(float(angle), float(speed), float(load), seconds)

    def _in_units(self, angles: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = zip(self.servos.values(), angles, strict=True)
        return np.array(
            [
                to_units(servo.joint.name, angle_to_tick(float(angle), servo.joint), servo.calibration)
                for servo, angle in rows
            ]
        )
