"""The local socket of an arm server: one thread, JSON lines, one commander, nobody can make it wait."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from robo_reward.errors import UserError
from robo_reward.real_robot.arm_server.control_loop import ControlLoop
from robo_reward.real_robot.black_box import BlackBox
from robo_reward.real_robot.guard import Command
from robo_reward.real_robot.safety_state import LEFT, NOTHING_WRONG, SafetyStop

LONGEST_LINE = 65536
SEND_SECONDS = 0.05
"""A client that does not take its answer in this time is let go."""
MOST_CLIENTS = 32
"""For one more the oldest goes that commands nothing: whoever opens connections without end must not keep others from
stopping the arm."""


@dataclass(eq=False)
class Client:
    """One connection and what it has sent of its next line."""

    link: socket.socket
    begun: bytes = b""
    name: str = "?"


class Door:
    """Requests are {"do": NAME, ...}; each gets one line back, with "error" if it was refused.

    observe, act (sequence, sent_at, observed_at, goal), arm (again), pause (reason), hold (call_off), leave, estop,
    reset, stop (park, insist).
    Anybody may look, pause, hold and stop; only the client that armed may act, and only one can have armed.
    """

    def __init__(self, loop: ControlLoop, box: BlackBox, path: Path, about: Mapping[str, Any]) -> None:
        self.loop, self.guard, self.box, self.path = loop, loop.guard, box, path
        self.about = dict(about)
        self.commander: Client | None = None
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._serve, name="door", daemon=True)

    def open(self) -> None:
        """Listens at ``path``, which only this user can reach. A socket that nobody serves any more is replaced."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)  # the port's lock is ours, so whoever made it is gone
        try:
            listening.bind(str(self.path))
        except OSError as error:
            raise UserError(f"socket '{self.path}' cannot be made ({error}); give a shorter path") from error
        os.chmod(self.path, 0o600)
        listening.listen()
        listening.setblocking(False)
        self._selector.register(listening, selectors.EVENT_READ, None)
        self._thread.start()

    def close(self) -> None:
        """Nobody finds the server any more."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._let_in(key.fileobj)
                else:
                    self._hear(key.data)

    def _let_in(self, listening: Any) -> None:
        try:
            link, _ = listening.accept()
        except OSError:  # it is gone again
            time.sleep(SEND_SECONDS / 10)
            return
        others = [key.data for key in self._selector.get_map().values() if key.data not in (None, self.commander)]
        if len(others) >= MOST_CLIENTS:
            self._leave(others[0])
        link.settimeout(SEND_SECONDS)
        self._selector.register(link, selectors.EVENT_READ, Client(link))

    def _hear(self, client: Client) -> None:
        try:
            came = client.link.recv(LONGEST_LINE)
        except OSError:
            came = b""
        *lines, client.begun = (client.begun + came).split(b"\n")
        if not came or len(client.begun) > LONGEST_LINE:
            self._leave(client)
            return
        for line in lines:
            answer = self._answer(client, line)
            try:
                client.link.sendall(json.dumps(answer).encode() + b"\n")
            except OSError:
                self._leave(client)
                return

    def _leave(self, client: Client) -> None:
        if client.link.fileno() < 0:  # sent away while what it said waited to be read
            return
        self._selector.unregister(client.link)
        client.link.close()
        if client is self.commander:
            self.commander = None
            self.guard.leave(time.monotonic(), f"the commanding process '{client.name}' is gone")

    def _answer(self, client: Client, line: bytes) -> dict[str, Any]:
        now = time.monotonic()
        try:
            asked = json.loads(line)
            done = self._do(client, now, str(asked["do"]), asked)
        except UserError as error:
            done = {"error": str(error), "exit_code": error.exit_code}
        except Exception as error:  # too deep, too large, not JSON: whatever it is, this thread must live
            # what cannot be read may have been a command: its sender is not to be believed any more
            if client is self.commander:
                self.guard.leave(now, f"unreadable request: {error}")
            done = {"error": f"unreadable request: {type(error).__name__}: {error}"}
        state = self.guard.state  # as it is now; the snapshot may be a period old
        now_is = {"state": str(state.state), "reason": state.reason, "latched": state.latched}
        return {**asdict(self.loop.snapshot), **now_is, **done}

    def _do(self, client: Client, now: float, what: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        if what == "act":
            return self._act(client, now, asked)
        if what != "observe":
            self.box.add({"t": now, "request": dict(asked), "from": client.name})
        if what == "hello":
            client.name = str(asked["name"])
            return self.about
        if what == "arm":
            return self._arm(client, now, again=asked.get("again") is True)
        if what == "hold":
            why = str(asked.get("reason") or "")
            said = f"{why} ('{client.name}')" if why else f"asked by '{client.name}'"
            self.loop.ask_hold(said, call_off=asked.get("call_off") is True)
        elif what == "pause":
            self.guard.wait(now, f"{asked['reason']} ('{client.name}')")
        elif what == "leave":
            self._leave_in_order(client, now)
        elif what == "estop":
            self.guard.fault(now, f"emergency stop by '{client.name}'")
        elif what == "reset":
            self.loop.ask_reset()
        elif what == "stop":
            self._stop(client, park=asked.get("park") is True, insist=asked.get("insist") is True)
        elif what != "observe":
            raise UserError(f"unknown request '{what}'")
        return {}

    def _leave_in_order(self, client: Client, now: float) -> None:
        if client is self.commander:
            self.commander = None
            self.guard.leave(now, LEFT)

    def _stop(self, client: Client, *, park: bool, insist: bool) -> None:
        """A second stop cuts torque only if a person ``insist``s: a program that ends says it of its own accord."""
        if park and self.loop.rest is None:
            raise UserError("this arm was told no pose to park in (robot.rest): put it down by hand, then ask for stop")
        if insist or not self.loop.ending:
            self.loop.ask_stop(f"stop asked by '{client.name}'", park=park)

    def _act(self, client: Client, now: float, asked: Mapping[str, Any]) -> dict[str, Any]:
        if client is not self.commander:
            raise SafetyStop("arm first: only the client that armed the arm may move it")
        command = Command(int(asked["sequence"]), float(asked["sent_at"]), float(asked["observed_at"]), asked["goal"])
        refused = self.guard.submit(now, command)
        self.box.add({"t": now, "command": dict(asked), "refused": refused})
        return {"refused": refused}

    def _arm(self, client: Client, now: float, *, again: bool) -> dict[str, Any]:
        if self.commander is not None and self.commander is not client:
            raise UserError(f"the arm is commanded by '{self.commander.name}'; stop that program first")
        if self.loop.ending:
            raise UserError("the arm is being parked and its server about to end: try again when it has")
        state = self.guard.state
        if state.latched and state.reason not in NOTHING_WRONG and not again:
            raise SafetyStop(f"the arm was stopped: {state.reason}. See to it, then arm it again (rearm=true)")
        self.guard.arm(now)
        self.commander = client
        return {}
