"""One process per port: a lock that dies with its holder, and a serial port that nobody else can open."""

from __future__ import annotations

import contextlib
import fcntl
import os
import termios
from pathlib import Path

from robo_reward.real_robot.arm_driver import ArmRefused

PSEUDO_TERMINALS = Path("/dev/pts")


class PortLock:
    """``flock`` on the device itself (the kernel frees it when the process dies) and TIOCEXCL for everybody else.

    Programs that ask for no lock, LeRobot's own among them, fail to open a port under TIOCEXCL (root excepted). It is
    left out on pseudo-terminals, where an emulator holds the port open and the flag would outlive us.
    """

    def __init__(self, port: Path) -> None:
        self.port = port
        self._file = -1

    def take(self) -> None:
        """Raises ArmRefused where the port does not exist, may not be opened or is taken."""
        try:
            self._file = os.open(self.port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._close()
            raise ArmRefused(f"port '{self.port}' is taken by another arm server: stop that one first") from None
        except OSError as error:
            self._close()
            raise ArmRefused(
                f"port '{self.port}' cannot be opened ({error.strerror}): is the arm plugged in, does "
                "`lerobot-find-port` list it, and may you use it (group dialout)?"
            ) from None
        self._exclusive(True)

    def free(self) -> None:
        """Gives the port back; harmless if it was not taken."""
        if self._file >= 0:
            self._exclusive(False)
            self._close()

    def allow(self) -> None:
        """Lets the owner's own library open the port: TIOCEXCL is set again by ``deny``."""
        self._exclusive(False)

    def deny(self) -> None:
        """Nobody else may open the port from now on."""
        self._exclusive(True)

    def _exclusive(self, on: bool) -> None:
        if PSEUDO_TERMINALS in self.port.resolve().parents:
            return
        with contextlib.suppress(OSError):  # not every device knows it; the lock above holds all the same
            fcntl.ioctl(self._file, termios.TIOCEXCL if on else termios.TIOCNXCL)

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
