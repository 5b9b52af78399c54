"""Lets LeRobot's bus wait for an emulated servo on a busy machine, instead of burning it and giving up after 50 ms."""

from __future__ import annotations

import select
from typing import Any

POLL = 0.002
"""Seconds to sleep at most while nothing has come."""


def be_patient(bus: Any, more: float = 2.0) -> None:
    """Changes one LeRobot ``FeetechMotorsBus``: answers may take ``more`` seconds longer, and waiting sleeps.

    Real servos answer within a millisecond; an emulated one shares the processor with whoever asks. Not for tests of
    lost or late answers, which cost as much time then.
    """
    handler = bus.port_handler
    read, bound = handler.readPort, handler.setPacketTimeout

    def read_port(length: int) -> bytes:
        select.select([handler.ser.fileno()], [], [], POLL)
        data: bytes = read(length)
        return data

    def set_packet_timeout(length: int) -> None:
        bound(length)
        handler.packet_timeout += more * 1000

    handler.readPort, handler.setPacketTimeout = read_port, set_packet_timeout
