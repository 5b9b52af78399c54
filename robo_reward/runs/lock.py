"""One process at a time writes a run folder: a second one would mix its rows with those of the first."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from robo_reward.errors import UserError

NAME = ".lock"


class FolderLock:
    """Held until ``release``, or until the process is gone, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError where another process holds it."""
        self._path = folder / NAME
        self._file = open(self._path, "ab")  # noqa: SIM115 - closed by release()
        if sys.platform == "win32":  # which has no such locks
            return
        import fcntl

        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            self._file.close()
            raise UserError(
                f"another process is writing to '{folder}': wait until it ends or stop it, or give another run_dir"
            ) from error
        except OSError:  # a file system without locks
            pass

    def release(self) -> None:
        """Lets others write; a second call does nothing."""
        if not self._file.closed:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            self._file.close()
