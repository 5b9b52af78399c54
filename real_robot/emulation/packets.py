"""Feetech's protocol 0 on the wire: packets to and from bytes, and what a stream of bytes holds.

Source: the layout that the vendor's SDK (feetech-servo-sdk 1.0, ``protocol_packet_handler.py``) sends and accepts:
``FF FF id length code parameters checksum`` with length = parameters + 2; ``code`` is the instruction in what the host
sends and the servo's error bits in what it answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

PING, READ, WRITE, REG_WRITE, ACTION = 1, 2, 3, 4, 5
SYNC_READ, SYNC_WRITE = 0x82, 0x83
BROADCAST = 0xFE
INSTRUCTIONS = {
    PING: "PING",
    READ: "READ",
    WRITE: "WRITE",
    REG_WRITE: "REG_WRITE",
    ACTION: "ACTION",
    SYNC_READ: "SYNC_READ",
    SYNC_WRITE: "SYNC_WRITE",
}

VOLTAGE, ANGLE, OVERHEAT, OVERCURRENT, OVERLOAD = 1, 2, 4, 8, 32
"""Error bits of a status packet."""

HEADER = b"\xff\xff"
SHORTEST = 6
"""Bytes of a packet without parameters."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet: ``code`` is an instruction (from the host) or error bits (of a servo). ``ok``: the checksum held."""

    id: int
    code: int
    parameters: bytes
    ok: bool = True

    def to_bytes(self) -> bytes:
        """The bytes on the wire, with the right checksum whatever ``ok`` says."""
        body = bytes((self.id, len(self.parameters) + 2, self.code)) + self.parameters
        return HEADER + body + bytes((checksum(body),))


def checksum(body: bytes) -> int:
    """The check byte of everything between header and checksum."""
    return ~sum(body) & 0xFF


def byte_pair(value: int) -> bytes:
    """A register word, low byte first; 0 to 65535."""
    return value.to_bytes(2, "little")


def to_sign_magnitude(value: int, bit: int) -> int:
    """A signed number as Feetech stores it: the magnitude, and ``bit`` set where it is negative."""
    return value if value >= 0 else -value | 1 << bit


def from_sign_magnitude(word: int, bit: int) -> int:
    """The signed number that a register word stands for."""
    magnitude = word & ~(1 << bit)
    return -magnitude if word >> bit & 1 else magnitude


def sync_write_parts(parameters: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(id, address, data) of every servo that a SYNC_WRITE addresses; an incomplete last part is left out."""
    if len(parameters) < 2 or parameters[1] == 0:
        return
    address, width, rest = parameters[0], parameters[1], parameters[2:]
    for start in range(0, len(rest) - width, width + 1):
        yield rest[start], address, rest[start + 1 : start + 1 + width]


PAUSE = 0.05
"""Seconds of silence after which a servo no longer waits for the rest of a packet."""


class PacketReader:
    """Cuts a stream into packets. Bytes before a header are noise; packets may arrive in pieces, without a pause."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._last = 0.0

    def feed(self, data: bytes, t: float) -> Iterator[Packet]:
        """The packets that what came at ``t`` seconds completes, those with a wrong checksum too (not ``ok``)."""
        if t - self._last > PAUSE:
            self._held.clear()
        self._last = t
        self._held += data
        while (packet := self._next()) is not None:
            yield packet

    def _next(self) -> Packet | None:
        held = self._held
        start = held.find(HEADER)
        if start < 0:
            del held[: max(0, len(held) - 1)]  # the last byte may be half a header
            return None
        del held[:start]
        while len(held) > 2 and held[2] == 0xFF:  # FF FF FF id: the header is the later pair
            del held[0]
        if len(held) < SHORTEST or len(held) < held[3] + 4:
            return None
        if held[3] < 2:  # no packet is that short: this was no header
            del held[:2]
            return self._next()
        size = held[3] + 4
        packet = bytes(held[:size])
        del held[:size]
        return Packet(packet[2], packet[4], packet[5:-1], checksum(packet[2:-1]) == packet[-1])
