"""Drives a LeRobot robot on a Feetech bus, with what LeRobot leaves out: fresh readings, safe power, sure power-off."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robo_reward.real_robot.arm_driver import ArmRefused, Reading
from robo_reward.real_robot.braking import Floats
from robo_reward.real_robot.feetech_block import SHORTEST_BLOCK, Registers, read_block
from robo_reward.real_robot.port_lock import PortLock

if TYPE_CHECKING:
    from lerobot.robots.robot import Robot

TORQUE_ENABLE = 40
FULL_TORQUE = 1000
"""What the register Torque_Limit calls all of it."""
REPLY_SECONDS = 0.02
"""How long a motor may take to answer. LeRobot waits 50 ms, which is two and a half control periods."""
MEMORY_SECONDS = 0.3
"""How long after a failed read a late answer to it may still arrive."""
LENGTHS = 12
WRITE_SECONDS = 0.5
"""For one packet to leave: less than a millisecond, but a process that had to wait for its turn is late, too."""
TRIES = 5
RETRIES = 3
"""Of a single write while configuring."""


class FeetechArm:
    """``robot`` is a LeRobot robot with a ``FeetechMotorsBus`` as ``robot.bus`` and no cameras."""

    def __init__(self, robot: Robot, torque: Mapping[str, float] | None = None) -> None:
        """``torque``: joint -> share of the strongest torque that its motor may give."""
        self.robot, self.torque = robot, dict(torque or {})
        self.bus: Any = robot.bus
        self.names = tuple(self.bus.motors)
        self.ids = [motor.id for motor in self.bus.motors.values()]
        self.lock = PortLock(Path(self.bus.port))
        self._extra = 0
        self._failed_at = -np.inf

    def open(self) -> Floats:
        """Checks port, motors, firmware and calibration; nothing is written. Raises ArmRefused."""
        self._check_file()
        self.lock.take()
        try:
            self._connect()
            if not self._calibrated():
                raise ArmRefused(
                    f"the calibration in the motors is not that of '{self.robot.calibration_fpath}': run "
                    "lerobot-calibrate, or give the robot.id under which this arm was calibrated"
                )
        except ArmRefused:
            self.close()
            raise
        except Exception as error:  # the SDK and pyserial raise RuntimeError, OSError, termios.error, ...
            self.close()
            raise ArmRefused(
                f"the arm on '{self.bus.port}' does not answer as it should: {error}\nCheck its supply, the cables "
                "from the first missing motor on, and that port and kind are this arm's; lerobot-setup-motors sets ids"
            ) from error
        return self._ranges()

    def _connect(self) -> None:
        """LeRobot's handshake has no retries: one lost packet would be a missing motor."""
        self.lock.allow()
        for turn in range(TRIES):
            try:
                self.bus.connect()
                break
            except Exception:
                self.bus.port_handler.closePort()
                if turn == TRIES - 1:
                    raise
        self.lock.deny()
        # else a device that takes nothing any more would keep the loop from every signal and emergency stop
        self.bus.port_handler.ser.write_timeout = WRITE_SECONDS

    def _calibrated(self) -> bool:
        """LeRobot compares register by register without retries."""
        for _ in range(TRIES):
            with contextlib.suppress(ConnectionError):
                return bool(self.bus.is_calibrated)
        return bool(self.bus.is_calibrated)

    def _check_file(self) -> None:
        missing = sorted(set(self.names) - set(self.robot.calibration))
        if missing and self.robot.id is None:
            raise ArmRefused(
                "robot.id is not set, and there is no calibration without one: give the robot.id under which this arm "
                "was calibrated (lerobot-calibrate)"
            )
        if missing:
            raise ArmRefused(
                f"calibration file '{self.robot.calibration_fpath}' is absent or lacks {missing}: run "
                "lerobot-calibrate with the same robot.id"
            )

    def _ranges(self) -> Floats:
        ends = [(self.bus.calibration[name].range_min, self.bus.calibration[name].range_max) for name in self.names]
        low, high = (self._to_units(np.array(end)) for end in zip(*ends, strict=True))
        return np.stack([np.minimum(low, high), np.maximum(low, high)], axis=1)

    def _to_units(self, ticks: Floats) -> Floats:
        by_id = self.bus._normalize({id_: int(tick) for id_, tick in zip(self.ids, ticks, strict=True)})
        return np.array([by_id[id_] for id_ in self.ids], dtype=np.float64)

    def power(self) -> None:
        """Goal := present, proven by reading it back, then settings and torque.

        An arm that already holds itself up (its server was killed) is taken over without a moment of slackness.
        """
        self._limit_torque()
        holds = self._goal_to_present()
        if not holds:
            self._configure()
        self.bus.port_handler.setPacketTimeout = self._short_timeout
        off = [name for name, on in zip(self.names, self._surely().torque, strict=True) if not on]
        if off:
            raise ArmRefused(f"torque of {off} did not come on: check supply and cables")

    def _limit_torque(self) -> None:
        """Into the motors' own registers, proven by reading back: what pushes too hard gives way, whoever is alive."""
        for name, share in self.torque.items():
            wanted = round(share * FULL_TORQUE)
            for _ in range(TRIES):
                with contextlib.suppress(ConnectionError):
                    self.bus.write("Torque_Limit", name, wanted, normalize=False, num_retry=RETRIES)
                    if int(self.bus.read("Torque_Limit", name, normalize=False, num_retry=RETRIES)) == wanted:
                        break
            else:
                raise ArmRefused(f"the motor of '{name}' does not take the torque limit {share:g}: check its cable")

    def _configure(self) -> None:
        """LeRobot's: torque off, mode and gains, torque on; it switches torque on even where it fails half-way."""
        for turn in range(TRIES):
            try:
                with self._retries():
                    self.robot.configure()
                return
            except Exception:
                self.cut()
                if turn == TRIES - 1:
                    raise
                self._goal_to_present()

    @contextlib.contextmanager
    def _retries(self) -> Iterator[None]:
        """LeRobot configures with some sixty writes that must all be answered, and tries none of them twice."""
        write = self.bus.write
        self.bus.write = lambda *told, num_retry=0, **more: write(*told, num_retry=max(num_retry, RETRIES), **more)
        try:
            yield
        finally:
            del self.bus.write

    def _goal_to_present(self) -> bool:
        """Raises ArmRefused before any torque is on if a motor does not take it; True if all torque was on already."""
        for _ in range(TRIES):
            found = self._surely()
            goal = dict(zip(self.names, found.position.astype(int).tolist(), strict=True))
            self.bus.sync_write("Goal_Position", goal, normalize=False)
            again = self._surely()
            if (np.abs(again.goal - again.position) <= 12).all():  # a degree: the arm may sag between two reads
                return bool(again.torque.all())
        raise ArmRefused("a motor does not take its present position as goal: switched on, it would jump")

    def read(self) -> Reading:
        """One exchange for everything. A late answer to an earlier request is told by its length, and refused.

        Feetech's packets carry no number, so after a failed read the next ones ask for more bytes than it did.
        """
        found = self._registers()
        if time.monotonic() - self._failed_at > MEMORY_SECONDS:
            self._extra = 0
        return Reading(
            position=self._to_units(found.position),
            current=found.current,
            temperature=found.temperature,
            voltage=found.voltage,
            status=found.status,
            torque=found.torque,
        )

    def _surely(self) -> Registers:
        for _ in range(TRIES):
            with contextlib.suppress(ConnectionError):
                return self._registers()
        return self._registers()

    def _registers(self) -> Registers:
        self._clear()
        try:
            return read_block(self.bus.packet_handler, self.bus.port_handler, self.ids, SHORTEST_BLOCK + self._extra)
        except Exception:
            self._failed_at = time.monotonic()
            self._extra = (self._extra + 1) % LENGTHS
            raise

    def write(self, goal: Floats) -> None:
        """Unacknowledged, as LeRobot does; the goals are within the calibrated range already."""
        self.bus.port_handler.is_using = False
        self.bus.sync_write("Goal_Position", dict(zip(self.names, goal.tolist(), strict=True)))

    def cut(self) -> Mapping[str, str]:
        """One packet to all motors, then each is asked on its own and told again until it says that it is off."""
        with contextlib.suppress(Exception):  # whom it did not reach is told below
            self._clear()
            self.bus.sync_write("Torque_Enable", 0)
        return {name: self._cut_one(id_) for name, id_ in zip(self.names, self.ids, strict=True)}

    def _cut_one(self, id_: int) -> str:
        packets, port, why = self.bus.packet_handler, self.bus.port_handler, ""
        for _ in range(3):
            try:
                self._clear()
                value, told, _ = packets.read1ByteTxRx(port, id_, TORQUE_ENABLE)
                if told == 0 and value == 0:  # its error bits are no reason to believe that it is on
                    return "off"
                why = packets.getTxRxResult(told) if told else "still on"
                self._clear()
                packets.write1ByteTxRx(port, id_, TORQUE_ENABLE, 0)
            except Exception as error:
                why = f"{type(error).__name__}: {error}"
        return why

    def close(self) -> None:
        """Closes port and lock whatever state they are in."""
        with contextlib.suppress(Exception):  # a port that is gone cannot be closed, and need not be
            self.bus.port_handler.closePort()
        self.lock.free()

    def _clear(self) -> None:
        """An exception between request and answer leaves the SDK "in use" and bytes on their way."""
        port = self.bus.port_handler
        port.is_using = False
        port.ser.reset_input_buffer()

    def _short_timeout(self, length: int) -> None:
        port = self.bus.port_handler
        port.packet_start_time = port.getCurrentTime()
        port.packet_timeout = port.tx_time_per_byte * (length + 3) + REPLY_SECONDS * 1000
