"""Everything that passed over the bus, byte by byte with its time: what safety is judged by."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import unknown_name
from robo_reward.real_robot.emulation.calibration import MotorCalibration, to_units
from robo_reward.real_robot.emulation.packets import (
    ACTION,
    BROADCAST,
    REG_WRITE,
    SYNC_WRITE,
    WRITE,
    Packet,
    PacketReader,
    from_sign_magnitude,
    sync_write_parts,
)
from robo_reward.real_robot.emulation.registers import NAME_AT, REGISTERS, register
from robo_reward.runs import atomic

Direction = Literal["to_arm", "from_arm"]


@dataclass(frozen=True, slots=True)
class Event:
    """Bytes that passed at ``t`` (perf_counter seconds)."""

    t: float
    direction: Direction
    data: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """A packet and when its last byte passed."""

    t: float
    direction: Direction
    packet: Packet


@dataclass(frozen=True, slots=True)
class Written:
    """A register that the host wrote: signed ``value`` as it stood on the wire, whether or not the servo took it."""

    t: float
    motor: str
    register: str
    value: int


class WireLog:
    """Events in order; may be read while the bus runs. ``keep`` bounds how many events are held (the newest)."""

    def __init__(self, calibration: Mapping[str, MotorCalibration], keep: int | None = None) -> None:
        self._calibration = dict(calibration)
        self._motor_of = {entry["id"]: name for name, entry in calibration.items()}
        self._events: deque[Event] = deque(maxlen=keep)
        self._lock = threading.Lock()

    def record(self, t: float, direction: Direction, data: bytes) -> None:
        """Adds what passed."""
        with self._lock:
            self._events.append(Event(t, direction, data))

    def events(self, since: float = -np.inf) -> list[Event]:
        """All events from ``since`` on."""
        with self._lock:
            return [event for event in self._events if event.t >= since]

    def packets(self, since: float = -np.inf, direction: Direction | None = None) -> list[Seen]:
        """All packets from ``since`` on, those with a wrong checksum too."""
        readers: dict[Direction, PacketReader] = {"to_arm": PacketReader(), "from_arm": PacketReader()}
        found = [Seen(e.t, e.direction, p) for e in self.events() for p in readers[e.direction].feed(e.data, e.t)]
        return [seen for seen in found if seen.t >= since and direction in (None, seen.direction)]

    def writes(self, name: str | None = None, motor: str | None = None, since: float = -np.inf) -> list[Written]:
        """What the host wrote, in order; of one register and one motor where they are named."""
        if name is not None:
            register(name)
        if motor is not None and motor not in self._calibration:
            raise unknown_name("motor", motor, self._calibration)
        found = self._all_writes()
        return [w for w in found if w.t >= since and name in (None, w.register) and motor in (None, w.motor)]

    def goals(self, motor: str | None = None, since: float = -np.inf) -> list[Written]:
        """Every goal position on the wire, in ticks."""
        return self.writes("Goal_Position", motor, since)

    def goals_in_units(self, motor: str, since: float = -np.inf) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(t (T,), goal (T,)) of a motor in LeRobot's units: degrees, or 0..100 for the gripper, not clipped."""
        found = self.goals(motor, since)
        entry = self._calibration[motor]
        return np.array([w.t for w in found]), np.array([to_units(motor, w.value, entry) for w in found])

    def torque_at(self, t: float = np.inf) -> dict[str, int | None]:
        """motor -> Torque_Enable as last written until ``t``; None where nobody wrote it."""
        held: dict[str, int | None] = dict.fromkeys(self._calibration)
        for write in self.writes("Torque_Enable"):
            if write.t <= t:
                held[write.motor] = write.value
        return held

    def save(self, path: Path) -> None:
        """One JSON line per event: t (seconds), dir, hex."""
        lines = (json.dumps({"t": e.t, "dir": e.direction, "hex": e.data.hex()}) for e in self.events())
        atomic.write_text(path, "\n".join(lines) + "\n")

    def _all_writes(self) -> list[Written]:
        found: list[Written] = []
        pending: list[Written] = []
        for seen in self.packets(direction="to_arm"):
            if not seen.packet.ok:
                continue
            written = list(self._written(seen))
            if seen.packet.code == REG_WRITE:
                pending += written
            elif seen.packet.code == ACTION:  # only now do registered writes count
                found += [Written(seen.t, w.motor, w.register, w.value) for w in pending]
                pending = []
            else:
                found += written
        return found

    def _written(self, seen: Seen) -> Iterator[Written]:
        packet = seen.packet
        if packet.code == SYNC_WRITE:
            for motor_id, address, data in sync_write_parts(packet.parameters):
                yield from self._decoded(seen.t, motor_id, address, data)
        elif packet.code in (WRITE, REG_WRITE) and packet.parameters:
            ids = self._motor_of if packet.id == BROADCAST else (packet.id,)
            for motor_id in ids:
                yield from self._decoded(seen.t, motor_id, packet.parameters[0], packet.parameters[1:])

    def _decoded(self, t: float, motor_id: int, address: int, data: bytes) -> Iterator[Written]:
        """The whole registers that ``data`` covers from ``address`` on; parts of registers are left out."""
        motor = self._motor_of.get(motor_id, f"id_{motor_id}")
        for start, name in NAME_AT.items():
            entry = REGISTERS[name]
            first = start - address
            if first >= 0 and first + entry.width <= len(data):
                word = int.from_bytes(data[first : first + entry.width], "little")
                value = word if entry.sign_bit is None else from_sign_magnitude(word, entry.sign_bit)
                yield Written(t, motor, name, value)
