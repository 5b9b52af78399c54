"""Addresses of reward servers: a Unix socket (a path) or TCP (``tcp:HOST:PORT``), how to listen and how to call."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from robo_reward.errors import UserError

_LONGEST = 107  # bytes of a Unix socket's path on Linux


@dataclass(frozen=True, slots=True)
class Address:
    """Either a ``path``, or ``host`` and ``port`` (0: any free one)."""

    path: Path | None = None
    host: str = ""
    port: int = 0

    @property
    def free_port(self) -> bool:
        """Whether the port is any free one, which only the server that listens knows."""
        return self.path is None and self.port == 0

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"tcp:[{self.host}]:{self.port}" if ":" in self.host else f"tcp:{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """``unix:PATH`` or a bare path, ``tcp:HOST:PORT``.

    Raises:
        UserError: for what is neither.
    """
    if not text or text in ("unix:", "tcp:"):
        raise UserError("the address of a reward server is empty: give a path (reward.sock) or tcp:127.0.0.1:5555")
    if not text.startswith("tcp:"):
        path = Path(text.removeprefix("unix:"))
        if len(os.fsencode(path)) > _LONGEST:
            raise UserError(f"the socket path '{path}' is longer than {_LONGEST} bytes: use a shorter one under /tmp")
        return Address(path)
    host, _, port = text.removeprefix("tcp:").rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise UserError(f"'{text}' is no TCP address: write tcp:HOST:PORT, with a port of 0 to 65535")
    return Address(None, host.strip("[]"), int(port))


def listen(address: Address, public: bool = False) -> tuple[socket.socket, Address]:
    """A listening socket and where it listens. A Unix socket is for this user alone; a dead one's file is replaced.

    Raises:
        UserError: if the address is taken or cannot be had, or faces the network without ``public``.
    """
    try:
        if address.path is not None:
            return _listen_unix(address.path), address
        if not public and not _loopback(address.host):
            raise UserError(
                f"{address} faces the network, and whoever reaches it can use the model (there are no passwords): "
                "use tcp:127.0.0.1:PORT, or say public=true"
            )
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        sock = socket.create_server((address.host, address.port), family=family, backlog=16)
        return sock, Address(None, address.host, int(sock.getsockname()[1]))
    except OSError as error:
        raise UserError(f"cannot listen at {address}: {error.strerror or error}; give another address=") from error


def connect(address: Address, timeout: float) -> socket.socket:
    """A connected socket. Raises OSError where nobody listens, TimeoutError after ``timeout`` seconds."""
    if address.path is None:
        sock = socket.create_connection((address.host, address.port), timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    try:
        sock.connect(str(address.path))
    except BaseException:
        sock.close()
        raise
    return sock


def remove(address: Address) -> None:
    """Deletes the file of a Unix socket."""
    if address.path is not None:
        with contextlib.suppress(OSError):
            address.path.unlink(missing_ok=True)


def _listen_unix(path: Path) -> socket.socket:
    if path.exists() or path.is_symlink():
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise UserError(f"'{path}' exists and is no socket: give another address=")
        if _answers(path):
            raise UserError(f"another server listens at '{path}': stop it, or give another address=")
        path.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
        path.chmod(0o600)  # before listen: nobody can connect until then
        sock.listen(16)
    except BaseException:
        sock.close()
        raise
    return sock


def _answers(path: Path) -> bool:
    try:
        connect(Address(path), 1.0).close()
    except TimeoutError:
        return True
    except OSError:
        return False
    return True


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
