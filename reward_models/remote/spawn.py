"""Starts a reward server of one's own, possibly with another virtual environment's Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robo_reward.errors import UserError
from robo_reward.reward_models.remote.address import Address, connect, parse_address

_SHOWN = 8  # last lines of the server's output that an error message shows


@dataclass(frozen=True, slots=True, weakref_slot=True)
class ServerProcess:
    """A server that this process started; it ends when its last client has gone, and with this object."""

    process: subprocess.Popen[bytes]
    folder: Path

    def fate(self) -> str:
        """How the server ended and its last words; empty while it runs."""
        try:
            code = self.process.wait(0.5)  # a process that was killed a moment ago may not be reaped yet
        except subprocess.TimeoutExpired:
            return ""
        lines = (self.folder / "output.txt").read_text("utf-8", errors="replace").strip().splitlines()
        said = "; its last words:\n  " + "\n  ".join(lines[-_SHOWN:]) if lines else ""
        return f" (it ended with code {code}{said})"

    def owns(self, pid: int) -> bool:
        """Whether that process is this server: it, or what an interpreter that is a script has started."""
        try:
            return os.getsid(pid) == self.process.pid
        except OSError:  # gone, or not of this machine
            return False

    def close(self) -> None:
        """Stops the server and removes its folder."""
        _end(self.process, self.folder)


def start_server(
    recipe: Mapping[str, Any], python: str | None, address: str | None, start_timeout: float
) -> tuple[ServerProcess, Address]:
    """Runs ``PYTHON -m robo_reward.cli serve`` on ``recipe`` (a reward model's group) and waits until it listens.

    ``python``: the interpreter of an environment where robo-reward is installed; None is this one. Without ``address``
    a Unix socket in a private folder.

    Raises:
        UserError: there is no such interpreter, ``address`` has port 0, or the server ends or does not listen within
            ``start_timeout`` seconds.
    """
    executable = python or sys.executable
    if shutil.which(executable) is None:
        raise UserError(f"reward_model.python='{executable}' is no program: give an environment's python")
    if address is not None and parse_address(address).free_port:
        raise UserError(
            f"reward_model.address={address} of a spawned server names no port, and nobody would know which one it "
            "got: name one, or leave reward_model.address out (a socket that only your user reaches)"
        )
    folder = Path(tempfile.mkdtemp(prefix="robo-reward-"))  # only this user may look inside
    place = parse_address(address or str(folder / "reward.sock"))
    group = folder / "configs" / "reward_model"
    group.mkdir(parents=True)
    # JSON is YAML; hydra reads the recipe as it reads a user's own file
    (group / "spawned.yaml").write_text("# The reward model to serve.\n" + json.dumps(dict(recipe)), "utf-8")
    words = [f"--config-dir={folder / 'configs'}", "reward_model=spawned", f"address='{place}'", "once=true"]
    words.append(f"timeout={max(1.0, start_timeout):g}")
    with open(folder / "output.txt", "wb") as output:
        process = subprocess.Popen(
            [executable, "-m", "robo_reward.cli", "serve", *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us; the server ends when we hang up
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    own = ServerProcess(process, folder)
    weakref.finalize(own, _end, process, folder)
    _wait(own, place, start_timeout)
    return own, place


def _wait(own: ServerProcess, place: Address, start_timeout: float) -> None:
    deadline = time.monotonic() + start_timeout
    while True:
        try:
            connect(place, 1.0).close()
        except OSError:
            pass
        else:
            return
        if own.process.poll() is not None:
            fate = own.fate()
            own.close()
            raise UserError(f"the reward server that reward_model.spawn asks for did not start{fate}")
        if time.monotonic() > deadline:
            own.close()
            raise UserError(
                f"the reward server did not listen within start_timeout={start_timeout:g} s: "
                "raise reward_model.start_timeout"
            )
        time.sleep(0.05)


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    shutil.rmtree(folder, ignore_errors=True)
