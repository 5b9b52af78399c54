"""One writer at a time for a run folder: a second one would mix its rows with those of the first."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path
from typing import BinaryIO
from weakref import WeakValueDictionary

from robo_reward.errors import UserError

NAME = ".lock"
WAY_OUT = "wait until it ends or stop it, or give another run_dir"


class FolderLock:
    """Held until ``release``, or until the process is gone, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError where another process holds it, or another run of this one."""
        self._path = folder.resolve() / NAME
        with _ONE_AT_A_TIME:
            self._take(folder)

    def _take(self, folder: Path) -> None:
        if self._path in _HELD:  # the system's locks are a process's, so that it would be let in
            raise UserError(f"another run of this process is writing to '{folder}': {WAY_OUT}")
        while True:
            self._file = open(self._path, "ab")  # noqa: SIM115 - closed by release()
            if not _locked(self._file):
                self._file.close()
                raise UserError(f"another process is writing to '{folder}': {WAY_OUT}")
            if self._is_there():
                break
            self._file.close()  # its owner let go, and took it away, between the two lines above
        _HELD[self._path] = self

    def release(self) -> None:
        """Lets others write; a second call does nothing."""
        if not self._file.closed:
            _HELD.pop(self._path, None)
            with contextlib.suppress(OSError):  # a system that deletes no open files leaves it there, empty
                if self._is_there():
                    self._path.unlink()
            self._file.close()

    def _is_there(self) -> bool:
        """Whether the file that is locked is still the one that others find."""
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), os.stat(self._path))
        except FileNotFoundError:
            return False


_HELD: WeakValueDictionary[Path, FolderLock] = WeakValueDictionary()
_ONE_AT_A_TIME = threading.Lock()
"""Threads of a process, too."""


def _locked(file: BinaryIO) -> bool:
    """Locks it; False where somebody else did. A system or file system without such locks is taken as it is."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        pass
    return True
