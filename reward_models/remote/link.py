"""The client's side of one connection: greets, asks, waits no longer than it was told, and says what went wrong."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from robo_reward.contracts import Needs
from robo_reward.errors import UserError
from robo_reward.reward_audits import PartAudit, unpack_audits
from robo_reward.reward_models.remote import messages, wire
from robo_reward.reward_models.remote.address import Address, connect
from robo_reward.reward_models.remote.spawn import ServerProcess
from robo_reward.reward_models.remote.wire import Message
from robo_reward.traits import Traits, read_traits


class ServerLost(UserError):
    """The server died, was stopped or does not answer."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a server says about its model."""

    model: str
    needs: Needs
    frame_size: tuple[int, int] | None
    traits: Traits = field(default_factory=Traits)
    """Of a server that tells none, those of a model that does not say."""
    groups: bool = False
    """Whether it prices the episodes of a group by each other."""
    groups_refused: str = ""
    """Why not, where only a part of it does."""
    audits: tuple[PartAudit, ...] | None = field(default=None, compare=False)
    """Of what it prices with; None from a server that does not know."""


@dataclass(slots=True)
class Link:
    """A connection to the server at ``address``; ``opened`` counts how often it was made. ``timeout`` in seconds."""

    address: Address
    timeout: float = 60.0
    process: ServerProcess | None = None
    opened: int = 0
    _sock: socket.socket | None = None
    _turn: Any = field(default_factory=threading.Lock)

    def open(self) -> Greeting:
        """Connects and greets.

        Raises:
            ServerLost: nobody listens, or does not answer in time. UserError: it speaks something else, or is not the
                server that was started for this.
        """
        self.close()
        try:
            self._sock = connect(self.address, self.timeout)
        except OSError as error:
            raise ServerLost(
                f"no reward server answers at {self.address} ({error.strerror or error}){self._fate()}: start it with "
                f"robo-reward serve reward_model=NAME address={self.address}"
            ) from error
        said = self._exchange(Message("hello", {"timeout": self.timeout})).fields
        self._check_own(said)
        self.opened += 1
        size = said.get("frame_size")
        return Greeting(
            str(said.get("model")),
            messages.unpack_needs(said.get("needs")),
            tuple(size) if size else None,
            read_traits(said.get("traits") or said),  # before they were one field gives_match stood alone
            groups=said.get("groups") is True,
            groups_refused=str(said.get("groups_refused") or ""),
            audits=unpack_audits(said.get("audits"), str(self.address)),
        )

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._sock is not None

    def ask(self, message: Message) -> Message:
        """One question, one answer.

        Raises:
            ServerLost: the server is gone or late; the connection is closed then. UserError: the server refuses.
        """
        with self._turn:
            return self._exchange(message)

    def close(self) -> None:
        """Hangs up."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def _exchange(self, message: Message) -> Message:
        if self._sock is None:
            raise ServerLost(f"the connection to the reward server at {self.address} is closed")
        try:
            with contextlib.suppress(wire.ConnectionLost):  # it may have said why it hung up; reading fails if not
                wire.send(self._sock, message, self.timeout)
            answer = wire.receive(self._sock, self.timeout)
        except TimeoutError as error:
            self.close()
            raise ServerLost(
                f"the reward server at {self.address} gave no answer within timeout={self.timeout:g} s{self._fate()}: "
                "raise reward_model.timeout, send less at once, or look at the server's own output"
            ) from error
        except wire.ConnectionLost as error:
            self.close()
            raise ServerLost(
                f"the reward server at {self.address} is gone: {error}{self._fate()}; start it again and resume the run"
            ) from error
        except BaseException:
            self.close()  # what follows on the wire belongs to an answer that nobody waits for
            raise
        if answer.kind == "refused":
            raise UserError(f"the reward server at {self.address} refuses: {answer.fields.get('error')}")
        if answer.kind == "fault":
            raise RuntimeError(f"the reward server at {self.address} failed: {answer.fields.get('error')}")
        return answer

    def _check_own(self, said: Mapping[str, Any]) -> None:
        pid = said.get("pid")
        if self.process is not None and isinstance(pid, int) and not self.process.owns(pid):
            self.close()
            raise UserError(
                f"another server (process {pid}, which serves {said.get('model')}) listens at {self.address}, where "
                f"reward_model.spawn is to start one of its own{self._fate()}: leave reward_model.address out or give "
                "another one, or leave spawn out to price with the server that is there"
            )

    def _fate(self) -> str:
        return "" if self.process is None else self.process.fate()
