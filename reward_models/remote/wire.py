"""One message on a socket: a fixed prefix, a JSON header, raw arrays. Nothing on it can run code.

Layout, big-endian: magic ``RRWD``, protocol version (2 bytes), bytes of the header (4), bytes of the arrays (8); then
the header, UTF-8 JSON ``{"kind", "fields", "arrays": [[name, dtype, shape], ...]}``; then the arrays in that order,
each padded to 8 bytes.
"""

from __future__ import annotations

import json
import math
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError

MAGIC, VERSION = b"RRWD", 2
PREFIX = struct.Struct("!4sHIQ")
HEADER_LIMIT = 1 << 20
PAYLOAD_LIMIT = 4 << 30
DTYPES = frozenset(
    np.dtype(name).str for name in ("bool", "u1", "i1", "<i2", "<i4", "<i8", "<u2", "<u4", "<f2", "<f4", "<f8")
)
_SMALL = 1 << 16
Arrays = dict[str, NDArray[Any]]


class WireError(UserError):
    """What came over the socket is not a message of ours."""


class ConnectionLost(WireError):
    """The other side is gone."""


class OtherVersion(WireError):
    """The other side speaks another version of the protocol."""


@dataclass(frozen=True, slots=True)
class Message:
    """``kind``, ``fields`` that JSON can hold, and named arrays."""

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Head:
    """A message whose arrays have not been read yet; ``size`` is their bytes."""

    kind: str
    fields: Mapping[str, Any]
    layout: tuple[tuple[str, np.dtype[Any], tuple[int, ...]], ...]
    size: int


def send(sock: socket.socket, message: Message, timeout: float | None = None) -> None:
    """Writes one message; arrays are not copied.

    Raises:
        ConnectionLost: the other side is gone. TimeoutError: it did not read within ``timeout`` seconds.
    """
    ready = {name: array if array.flags.c_contiguous else array.copy() for name, array in message.arrays.items()}
    layout = [[name, array.dtype.str, list(array.shape)] for name, array in ready.items()]
    header = json.dumps({"kind": message.kind, "fields": dict(message.fields), "arrays": layout}).encode()
    size = sum(_padded(array.nbytes) for array in ready.values())
    parts: list[bytes | memoryview] = [PREFIX.pack(MAGIC, VERSION, len(header), size), header]
    for array in ready.values():
        parts += [memoryview(array.reshape(-1).view(np.uint8)), bytes(_padded(array.nbytes) - array.nbytes)]
    sock.settimeout(timeout)
    try:
        if size < _SMALL:
            sock.sendall(b"".join(parts))
        else:
            for part in parts:
                sock.sendall(part)
    except TimeoutError:
        raise
    except OSError as error:
        raise ConnectionLost(f"the connection broke while sending ({error.strerror or error})") from error


def receive_head(sock: socket.socket, timeout: float | None = None) -> Head:
    """Reads prefix and header.

    Raises:
        ConnectionLost, TimeoutError: as ``send``. OtherVersion, WireError: not a message of this protocol.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    prefix = bytearray(PREFIX.size)
    _fill(sock, memoryview(prefix), deadline)
    magic, version, length, size = PREFIX.unpack(prefix)
    if magic != MAGIC:
        raise WireError(f"this is not robo-reward's protocol (the message begins with {bytes(magic)!r})")
    if version != VERSION:
        raise OtherVersion(
            f"the other side speaks version {version} of the reward protocol, this side version {VERSION}: "
            "install the same robo-reward on both sides"
        )
    if length > HEADER_LIMIT or size > PAYLOAD_LIMIT:
        raise WireError(f"a message of {length} + {size} bytes is over the limit of {HEADER_LIMIT} + {PAYLOAD_LIMIT}")
    header = bytearray(length)
    _fill(sock, memoryview(header), deadline)
    return _parse(bytes(header), size)


def receive_body(sock: socket.socket, head: Head, timeout: float | None = None) -> Message:
    """Reads the arrays that ``head`` announced; errors as ``receive_head``."""
    buffer = np.empty(head.size, np.uint8)
    _fill(sock, memoryview(buffer), None if timeout is None else time.monotonic() + timeout)
    arrays: Arrays = {}
    start = 0
    for name, dtype, shape in head.layout:
        length = dtype.itemsize * math.prod(shape)
        arrays[name] = buffer[start : start + length].view(dtype).reshape(shape)
        start += _padded(length)
    return Message(head.kind, head.fields, arrays)


def receive(sock: socket.socket, timeout: float | None = None) -> Message:
    """Reads a whole message."""
    return receive_body(sock, receive_head(sock, timeout), timeout)


def discard_body(sock: socket.socket, head: Head, timeout: float | None = None) -> None:
    """Reads the arrays away without keeping them, so that the next message can follow."""
    deadline = None if timeout is None else time.monotonic() + timeout
    scrap = memoryview(bytearray(min(head.size, 1 << 20)))
    left = head.size
    while left:
        step = min(left, len(scrap))
        _fill(sock, scrap[:step], deadline)
        left -= step


def _parse(header: bytes, size: int) -> Head:
    try:
        said = json.loads(header)
        layout = tuple((str(n), _dtype(d), tuple(_count(k) for k in shape)) for n, d, shape in said["arrays"])
        kind, fields = said["kind"], said["fields"]
        well = isinstance(kind, str) and isinstance(fields, dict)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WireError(f"a message has a header that makes no sense: {error!r}") from error
    if not well or sum(_padded(d.itemsize * math.prod(shape)) for _, d, shape in layout) != size:
        raise WireError("a message announces arrays that do not fit its size")
    return Head(kind, fields, layout, size)


def _dtype(name: Any) -> np.dtype[Any]:
    if name not in DTYPES:
        raise ValueError(f"arrays of the kind {name!r} are not sent")
    kind: np.dtype[Any] = np.dtype(name)
    return kind


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no length")
    return value


def _padded(size: int) -> int:
    return -(-size // 8) * 8


def _fill(sock: socket.socket, view: memoryview, deadline: float | None) -> None:
    while len(view):
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError("timed out")
        sock.settimeout(left)
        try:
            count = sock.recv_into(view)
        except TimeoutError:
            raise
        except OSError as error:
            raise ConnectionLost(f"the connection broke while reading ({error.strerror or error})") from error
        if count == 0:
            raise ConnectionLost("the other side closed the connection")
        view = view[count:]
