"""The emulated bus: a pseudo-terminal on whose other end six servos listen, moved along by a plant."""

from __future__ import annotations

import contextlib
import os
import select
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from robo_reward.real_robot.emulation.bus_faults import BusFaults
from robo_reward.real_robot.emulation.packets import (
    ACTION,
    BROADCAST,
    PING,
    READ,
    REG_WRITE,
    SYNC_READ,
    SYNC_WRITE,
    WRITE,
    Packet,
    PacketReader,
    sync_write_parts,
)
from robo_reward.real_robot.emulation.servo import Servo
from robo_reward.real_robot.emulation.wire_log import WireLog

BEAT = 0.005
"""Seconds between two looks at plant and timers while the line is silent."""
BAUD = {
    termios.B1000000: 0,
    termios.B500000: 1,
    termios.B115200: 4,
    termios.B57600: 5,
    termios.B38400: 6,
    termios.B19200: 7,
}
"""Terminal speed -> Baud_Rate register; at other speeds than its own a servo hears nothing."""


class Bus:
    """Runs in a thread of its own between ``start`` and ``close``.

    ``tick(now)`` is called before every packet and at least every ``BEAT`` seconds: it moves the plant and renews what
    the servos report. All servo memory belongs to this thread; ``lock`` lets others look. ``failure``: what ended the
    thread too early (the plant, say); the port is gone then.
    """

    def __init__(
        self, servos: Sequence[Servo], faults: BusFaults, wire: WireLog, tick: Callable[[float], None], seed: int
    ) -> None:
        self.servos, self.faults, self.wire = list(servos), faults, wire
        self.lock = threading.RLock()
        self._tick = tick
        self._rng = np.random.default_rng(seed)
        self._reader = PacketReader()
        self._pending: dict[int, tuple[int, bytes]] = {}
        self._ends: tuple[int, int] | None = None
        self._running, self._pulled = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self.port = ""
        self.failure: Exception | None = None

    def start(self) -> None:
        """Opens the pseudo-terminal and begins to listen."""
        self._plug_in()
        self._running.set()
        self._thread = threading.Thread(target=self._run, name="emulated-bus", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread and takes the port away."""
        self._running.clear()
        if self._thread is not None:
            self._thread.join()
        self._pull()

    def unplug(self) -> None:
        """The cable is pulled: whoever holds the port gets errors, and its path is gone. The plant goes on."""
        self._pulled.set()  # done by the bus's own thread, which may be reading just now

    def _pull(self) -> None:
        with self.lock:
            ends, self._ends = self._ends, None
        for end in ends or ():
            os.close(end)

    def _plug_in(self) -> None:
        outer, inner = os.openpty()
        tty.setraw(outer)
        tty.setraw(inner)
        os.set_blocking(outer, False)
        # The inner end stays open here: otherwise reading fails whenever the client closes the port.
        self._ends, self.port = (outer, inner), os.ttyname(inner)

    def _run(self) -> None:
        try:
            while self._running.is_set():
                self._beat()
        except Exception as error:  # a thread cannot raise into another: whoever leaves the arm gets it
            self.failure = error
            self._pull()

    def _beat(self) -> None:
        if self._pulled.is_set():
            self._pull()
        data = self._listen()
        now = time.perf_counter()
        with self.lock:
            self._tick(now)
        if data:
            self.wire.record(now, "to_arm", data)
            for packet in self._reader.feed(data, now):
                self._obey(packet)

    def _listen(self) -> bytes:
        ends = self._ends
        if ends is None:
            time.sleep(BEAT)
            return b""
        ready, _, _ = select.select([ends[0]], [], [], BEAT)
        return os.read(ends[0], 4096) if ready else b""

    def _obey(self, packet: Packet) -> None:
        if not packet.ok or not self.faults.hears(self._rng):
            return
        with self.lock:
            heard = self._listening()
            answers = [self.faults.spoil(answer, self._rng) for answer in self._answers(packet, heard)]
            late = self.faults.wait() if answers else 0.0
        if late:
            self._wait(late)
        self._send(b"".join(answers))

    def _wait(self, seconds: float) -> None:
        """The answer is late; the arm moves on meanwhile."""
        until = time.perf_counter() + seconds
        while self._running.is_set() and (now := time.perf_counter()) < until:
            with self.lock:
                self._tick(now)
            time.sleep(min(BEAT, until - now))

    def _send(self, data: bytes) -> None:
        ends = self._ends
        if not data or ends is None:
            return
        self.wire.record(time.perf_counter(), "from_arm", data)
        with contextlib.suppress(BlockingIOError):  # nobody reads and the buffer is full: a servo does not notice
            os.write(ends[0], data)

    def _listening(self) -> dict[int, Servo]:
        """id -> servo of those that are alive and set to the line's speed."""
        if self._ends is None:
            return {}
        rate = BAUD.get(termios.tcgetattr(self._ends[1])[5])
        alive = (servo for servo in self.servos if servo.id not in self.faults.dead)
        return {servo.id: servo for servo in alive if servo.get("Baud_Rate") == rate}

    def _answers(self, packet: Packet, heard: dict[int, Servo]) -> list[bytes]:
        """What the servos do and say, in the order of the line."""
        parameters = packet.parameters
        meant = list(heard.values()) if packet.id == BROADCAST else [heard[i] for i in (packet.id,) if i in heard]
        if packet.code == PING:
            return [_status(servo) for servo in meant]
        if packet.code == READ and len(parameters) == 2:
            return [_status(servo, servo.read(*parameters)) for servo in meant if packet.id != BROADCAST]
        if packet.code == SYNC_READ and len(parameters) >= 2:
            asked = (heard[i] for i in parameters[2:] if i in heard)
            return [_status(servo, servo.read(parameters[0], parameters[1])) for servo in asked]
        if packet.code in (WRITE, REG_WRITE) and parameters:
            return self._write(packet, meant)
        if packet.code == SYNC_WRITE:
            for motor_id, address, data in sync_write_parts(parameters):
                if motor_id in heard:
                    heard[motor_id].write(address, data)
        if packet.code == ACTION:
            self._carry_out(heard.values())
        return []

    def _write(self, packet: Packet, meant: Sequence[Servo]) -> list[bytes]:
        address, data = packet.parameters[0], packet.parameters[1:]
        for servo in meant:
            if packet.code == REG_WRITE:
                self._pending[id(servo)] = (address, data)
            else:
                servo.write(address, data)
        silent = packet.id == BROADCAST
        return [] if silent else [_status(servo) for servo in meant if servo.get("Response_Status_Level")]

    def _carry_out(self, heard: Iterable[Servo]) -> None:
        for servo in heard:
            if id(servo) in self._pending:
                servo.write(*self._pending.pop(id(servo)))


def _status(servo: Servo, data: bytes = b"") -> bytes:
    return Packet(servo.id, servo.errors, data).to_bytes()
