"""Starts an arm server in its own process, and finds the one that already runs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robo_reward.errors import UserError
from robo_reward.real_robot.arm_server.spec import ServerSpec, write_spec

START_SECONDS = 90.0
"""Loading LeRobot's robot classes imports torch: seconds on a good machine, most of a minute on a cold disk."""

END_SECONDS = 30.0


@dataclass(frozen=True)
class Launched:
    """A running server and what it said of itself: pid, start_seconds, memory_mb."""

    process: subprocess.Popen[bytes]
    said: dict[str, Any]


def launch(spec: ServerSpec, seconds: float = START_SECONDS) -> Launched:
    """Starts it apart from this process's terminal and signals. Raises UserError with its reason if it refused."""
    saved, logged = spec.black_box.with_suffix(".spec.json"), spec.black_box.with_suffix(".log")
    command = [sys.executable, "-m", "robo_reward.real_robot.arm_server", str(saved)]
    try:
        spec.black_box.parent.mkdir(parents=True, exist_ok=True)
        write_spec(spec, saved)
        log = os.open(logged, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(
            f"nothing can be written beside the black box '{spec.black_box}' ({error.strerror}): give "
            "robot.black_box=FILE"
        ) from error
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True
        )
    finally:
        os.close(log)
    try:
        said = _first_words(process, seconds)
    except BaseException:  # Ctrl-C while it starts: it must not power the arm when nobody waits for it any more
        _end(process)
        raise
    if not said.get("ready"):
        _end(process, told="late" not in said)
        raise UserError(said.get("refused") or f"the arm server did not start: see '{logged}'")
    return Launched(process, said)


def _end(process: subprocess.Popen[bytes], told: bool = False) -> None:
    """Waits for it where it has ``told`` that it ends; else it is stopped, and ends with torque off."""
    if not told:
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)


def _first_words(process: subprocess.Popen[bytes], seconds: float) -> dict[str, Any]:
    """The server's first line on stdout; anything else before it is some library's chatter."""
    assert process.stdout is not None
    begun, deadline = b"", time.monotonic() + seconds
    while time.monotonic() < deadline:
        ready, _, _ = select.select([process.stdout], [], [], 0.2)
        came = os.read(process.stdout.fileno(), 65536) if ready else b""
        begun += came
        for line in begun.split(b"\n")[:-1]:
            if line.startswith((b'{"ready"', b'{"refused"')):
                return dict(json.loads(line))
        if ready and not came:
            return {}
    return {"refused": f"the arm server was not ready within {seconds:g} s and was ended", "late": True}


def default_socket(port: str) -> Path:
    """The same for the same port, short enough for a socket's path, in a folder of this user alone."""
    home = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    name = hashlib.sha256(os.path.realpath(port).encode()).hexdigest()[:12]
    return Path(home) / f"robo-reward-{os.getuid()}" / f"arm-{name}.sock"
