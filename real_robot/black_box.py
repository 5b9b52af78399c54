"""The flight recorder of an arm: what was asked, emitted, measured and why, whole after ``kill -9``."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from robo_reward.errors import UserError

SYNC_SECONDS = 1.0
"""A loss of power loses at most this much; a killed process loses nothing."""
SEGMENT_BYTES = 32 * 2**20
"""About half an hour at 50 records a second; the older of two segments goes when the newer is full."""


class BlackBox:
    """Appends records to ``path``, one line each: CRC-32, a blank, JSON.

    Each record is one ``write`` to the kernel, nothing is kept in the process, so it survives the process's death. A
    thread of its own calls fsync every second, so that the control loop never waits for a disk; ``sync`` does so at
    once. A file that is already there is continued. Where the disk is full or gone, ``add`` goes on and ``trouble``
    says so: an arm is not dropped because its recorder stopped, but it must not go on moving either.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = -1
        self._size = 0
        self._torn = False
        self._unwritten = self._unsynced = ""
        self._closing = threading.Event()
        self._lock = threading.RLock()
        self._thread = threading.Thread(target=self._sync_often, name="black box", daemon=True)

    @property
    def trouble(self) -> str:
        """Why the last record or the last second of them may be lost; empty where nothing is."""
        return self._unwritten or self._unsynced

    def open(self) -> None:
        """Creates or continues the file; a torn last line (of a power loss) is ended first. Raises UserError."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._torn = self.path.exists() and self.path.read_bytes()[-1:] not in (b"", b"\n")
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise UserError(
                f"the black box '{self.path}' cannot be written ({error.strerror}): give robot.black_box=FILE"
            ) from error
        self._size = os.fstat(self._file).st_size
        self._thread.start()

    def add(self, record: Mapping[str, Any]) -> None:
        """One record, in JSON's types; NaN and infinities are kept as Python writes them. Not after ``close``."""
        body = json.dumps(record, separators=(",", ":")).encode()
        line = b"%08x %s\n" % (zlib.crc32(body), body)
        with self._lock:
            if self._closing.is_set():
                return
            try:
                self._write(line)
                if self._size > SEGMENT_BYTES:
                    self._turn()
            except OSError as error:
                self._unwritten = str(error)
            else:
                self._unwritten = ""

    def _write(self, line: bytes) -> None:
        """Raises OSError where not all of it was written; the next record then begins a line of its own."""
        line = b"\n" + line if self._torn else line
        written = os.write(self._file, line)
        self._torn = written < len(line) and (self._torn or written > 0)
        self._size += written
        if written < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync(self) -> None:
        """Waits until the disk holds everything."""
        try:
            os.fsync(self._file)
        except OSError as error:
            self._unsynced = str(error)
        else:
            self._unsynced = ""

    def close(self) -> None:
        """Syncs and closes."""
        with self._lock:
            self._closing.set()
        self._thread.join()
        self.sync()
        os.close(self._file)

    def _turn(self) -> None:
        with contextlib.suppress(FileNotFoundError):  # it was turned before, and the new one could not be opened
            os.replace(self.path, older(self.path))
        fresh = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(fresh, self._file)  # the number stays, so that the other thread may be in the middle of fsync
        os.close(fresh)
        self._size = 0

    def _sync_often(self) -> None:
        while not self._closing.wait(SYNC_SECONDS):
            self.sync()


def older(path: Path) -> Path:
    """Where the full segment before ``path`` is kept."""
    return path.with_name(path.name + ".1")


def read_black_box(path: str | Path) -> Iterator[dict[str, Any]]:
    """The records in order, the older segment first. A line that is torn or damaged is skipped."""
    for segment in (older(Path(path)), Path(path)):
        if segment.exists():
            for line in segment.read_bytes().split(b"\n"):
                record = _record(line)
                if record is not None:
                    yield record


def _record(line: bytes) -> dict[str, Any] | None:
    head, _, body = line.partition(b" ")
    try:
        whole = int(head, 16) == zlib.crc32(body)
        return json.loads(body) if whole else None
    except ValueError:
        return None
