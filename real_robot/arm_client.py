"""Speaks to an arm server, never waiting longer than a deadline."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robo_reward.errors import UserError
from robo_reward.real_robot.safety_state import SafetyStop

ANSWER_SECONDS = 0.25
FIRST_SECONDS = 2.0
"""For what is asked before anything moves."""


@dataclass(frozen=True, slots=True)
class ArmView:
    """The server's last look at the arm: {joint: value} each, ``read_at`` in monotonic seconds of this machine."""

    read_at: float
    position: Mapping[str, float]
    goal: Mapping[str, float]
    """On the wire now: within all limits."""
    state: str
    reason: str
    latched: bool
    blocked: bool
    """The workspace is in the way."""
    refused: str
    """Why the last command was not taken."""
    reset_failed: str
    torque: Mapping[str, str]
    """After torque was cut: {joint: "off" or what went wrong}."""


class ArmClient:
    """One connection. Errors of the connection are SafetyStop: without a server nobody may go on.

    What the server refuses is UserError where it says so (the arm is another program's), else SafetyStop.
    """

    def __init__(self, path: Path, name: str, deadline: float = ANSWER_SECONDS) -> None:
        self.path = path
        self.name = name
        self.deadline = deadline
        self.names: tuple[str, ...] = ()
        self.about: Mapping[str, Any] = {}
        self._link: socket.socket | None = None
        self._rest = b""
        self._sequence = 0

    @property
    def is_connected(self) -> bool:
        return self._link is not None

    def connect(self) -> None:
        """Raises UserError where no server listens."""
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.settimeout(self.deadline)
        try:
            link.connect(str(self.path))
        except OSError as error:
            link.close()
            raise UserError(f"no arm server listens at '{self.path}' ({error}); start one first") from error
        self._link, self._rest = link, b""
        self.about = self._ask({"do": "hello", "name": self.name}, FIRST_SECONDS)
        self.names = tuple(self.about["names"])

    def close(self) -> None:
        """Leaves; if this client commanded the arm, the server holds it."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def observe(self) -> ArmView:
        """The latest reading and state."""
        return self._view(self._ask({"do": "observe"}))

    def act(self, goal: object, observed_at: float) -> ArmView:
        """Asks for a goal {joint: number} computed from an observation of ``observed_at`` (monotonic seconds)."""
        self._sequence += 1
        asked = {"do": "act", "sequence": self._sequence, "sent_at": time.monotonic(), "observed_at": observed_at}
        return self._view(self._ask({**asked, "goal": goal}))

    def arm(self, *, again: bool = False) -> ArmView:
        """Lets this client move the arm; ``again`` after it was stopped for a reason that was seen to."""
        self._sequence = 0
        return self._view(self._ask({"do": "arm", "again": again}, FIRST_SECONDS))

    def hold(self, reason: str = "", *, call_off: bool = False) -> ArmView:
        """Brakes and stays powered until armed again. Parking goes on, unless a person calls it off (``call_off``)."""
        return self._view(self._ask({"do": "hold", "reason": reason, "call_off": call_off}))

    def leave(self) -> None:
        """Gives up the command of an arm with which all is well: held, and the next program may arm it."""
        self._ask({"do": "leave"})

    def pause(self, reason: str) -> ArmView:
        """Brakes now and stays powered; the next fresh goal moves the arm again."""
        return self._view(self._ask({"do": "pause", "reason": reason}))

    def estop(self) -> ArmView:
        """Torque off within one control period. The arm drops."""
        return self._view(self._ask({"do": "estop"}))

    def reset(self, seconds: float = 5.0) -> ArmView:
        """Leaves FAULT if its cause is gone: goal := present, torque on, HOLD. Raises SafetyStop if it is not."""
        self._ask({"do": "reset"})
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            view = self.observe()
            if view.state != "FAULT":
                return view
            if view.reset_failed:
                raise SafetyStop(f"the arm stays in FAULT: {view.reset_failed}")
            time.sleep(0.02)
        raise SafetyStop(f"the arm did not leave FAULT within {seconds:g} s: {self.observe().reason}")

    def stop(self, *, park: bool, insist: bool = False) -> None:
        """Ends the server: it brakes, parks if asked and told where, and cuts torque.

        ``insist``: a person's word; if it is ending already, torque is cut at once.
        """
        self._ask({"do": "stop", "park": park, "insist": insist})

    def _ask(self, request: Mapping[str, Any], least: float = 0.0) -> dict[str, Any]:
        if self._link is None:
            raise SafetyStop(f"not connected to the arm server at '{self.path}'")
        try:
            self._link.sendall(json.dumps(request, default=str).encode() + b"\n")
            answer: dict[str, Any] = json.loads(self._line(self._link, max(self.deadline, least)))
        except (OSError, ValueError) as error:
            self.close()  # an answer that comes late must not be taken for the next one
            raise SafetyStop(f"the arm server at '{self.path}' did not answer within {self.deadline} s") from error
        if "error" in answer:
            raise (UserError if answer.get("exit_code") == UserError.exit_code else SafetyStop)(str(answer["error"]))
        return answer

    def _line(self, link: socket.socket, seconds: float) -> bytes:
        deadline = time.monotonic() + seconds
        while b"\n" not in self._rest:
            link.settimeout(max(deadline - time.monotonic(), 0.001))
            came = link.recv(65536)
            if not came:
                raise ConnectionError("closed by the server")
            self._rest += came
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _view(self, answer: Mapping[str, Any]) -> ArmView:
        def joints(values: list[float]) -> dict[str, float]:
            return dict(zip(self.names, values, strict=False))

        return ArmView(
            read_at=answer["read_at"],
            position=joints(answer["position"]),
            goal=joints(answer["goal"]),
            state=answer["state"],
            reason=answer["reason"],
            latched=answer["latched"],
            blocked=answer["blocked"],
            refused=answer.get("refused", ""),
            reset_failed=answer["reset_failed"],
            torque=answer["torque"],
        )
