"""Single keys of this terminal, without waiting for them and without ENTER."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from types import TracebackType
from typing import Any, Self

from robo_reward.errors import UserError


class Keys:
    """A context manager; called, it gives what was pressed since it was last asked. Ctrl-C goes on to work."""

    def __init__(self) -> None:
        self._before: Any = None

    def __enter__(self) -> Self:
        import termios
        import tty

        if not sys.stdin.isatty():
            raise UserError("teleop needs a terminal for its keys, and standard input is none")
        self._before = termios.tcgetattr(sys.stdin)
        tty.setcbreak(sys.stdin)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        import termios

        with contextlib.suppress(termios.error):
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def __call__(self) -> str:
        ready, _, _ = select.select([sys.stdin], [], [], 0)
        return os.read(sys.stdin.fileno(), 64).decode("utf-8", "replace") if ready else ""
