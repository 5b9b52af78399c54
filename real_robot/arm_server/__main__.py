"""``python -m robo_reward.real_robot.arm_server SPEC.json``: says "ready" on stdout and runs until it is stopped."""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

BEGAN = time.monotonic()
os.environ["OMP_NUM_THREADS"] = "1"  # before numpy: the loop is one thread, and so is all it calls

EXIT_FAULT = 3
given_up: list[str] = []
"""What ended the start, if a signal did."""


def main() -> int:
    """The exit code: 0 stopped, 2 refused before torque, 3 ended in FAULT."""
    from robo_reward.errors import UserError
    from robo_reward.real_robot.arm_server.serve import Server

    try:
        if len(sys.argv) != 2:
            raise UserError("give one file: the spec of the arm server")
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _give_up)
        server = Server.from_file(Path(sys.argv[1]))
        server.start(lambda: _ready(server.loop), wanted=_check_wanted)
    except UserError as error:
        tell({"refused": str(error)})
        print(error, file=sys.stderr)
        return error.exit_code
    return EXIT_FAULT if server.run() else 0


def _give_up(number: int, frame: Any) -> None:
    """Before the loop runs: whatever was begun is undone, and torque is off."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)  # a second one must not interrupt the cutting
    given_up.append(f"stopped by {signal.Signals(number).name} while it started")
    _check_wanted()


def _check_wanted() -> None:
    """Raises where a signal came: raised in a callback of the import machinery alone, it would be swallowed there."""
    if given_up:
        sys.exit(given_up[0])


def _ready(loop: Any) -> None:
    """From now on the loop ends in order: it brakes, parks, cuts torque. Whoever started us may go on."""
    _check_wanted()
    gc.collect()
    gc.freeze()  # what the imports left is never looked through again
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    signal.signal(signal.SIGINT, lambda *_: loop.ask_stop("interrupted", park=True))
    signal.signal(signal.SIGTERM, lambda *_: loop.ask_stop("terminated", park=True))
    tell({"ready": True, "pid": os.getpid(), "start_seconds": time.monotonic() - BEGAN, "memory_mb": memory})


def tell(message: dict[str, Any]) -> None:
    """One line for whoever started us; who is gone need not hear it."""
    try:
        print(json.dumps(message), flush=True)
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process


if __name__ == "__main__":
    sys.exit(main())
