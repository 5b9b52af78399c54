"""Ctrl-C and SIGTERM as exceptions, remembered in case foreign code turns them into something else."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType


class Preempted(KeyboardInterrupt):
    """SIGTERM: the scheduler wants the machine back; the run can be resumed (exit code 75)."""


_received: list[int] = []


def received() -> int | None:
    """The first of SIGINT and SIGTERM that arrived inside ``stop_signals``, None without one."""
    return _received[0] if _received else None


def _stop(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    if number == signal.SIGTERM:
        raise Preempted("SIGTERM")
    raise KeyboardInterrupt


def _complain_unless_stopped(args: sys.UnraisableHookArgs) -> None:
    if received() is None:
        sys.__unraisablehook__(args)


@contextlib.contextmanager
def stop_signals() -> Iterator[None]:
    """Inside, SIGINT raises KeyboardInterrupt and SIGTERM its subclass Preempted.

    Once one arrived, and until the program ends, finalisers complain of nothing: what was being made (a renderer) is
    half made, and freed only when its traceback is.
    Elsewhere than in the main thread, where Python forbids handlers, nothing changes.
    """
    _received.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)}
    complain, sys.unraisablehook = sys.unraisablehook, _complain_unless_stopped
    try:
        yield
    finally:
        if received() is None:
            sys.unraisablehook = complain
        for number, handler in old.items():
            signal.signal(number, handler)
