"""The server's side: one reward model, any number of clients, each with episodes of its own."""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from robo_reward.contracts import Estimate, GroupRewardModel, RewardModel
from robo_reward.errors import UserError
from robo_reward.reward_audits import Source, pack_audits
from robo_reward.reward_models.remote import messages, wire
from robo_reward.reward_models.remote.address import listen, parse_address, remove
from robo_reward.reward_models.remote.replica import replicate
from robo_reward.reward_models.remote.wire import Head, Message
from robo_reward.separate_looks import SeparateLooks
from robo_reward.traits import traits_of

COUNTS = ("parse_failures", "fallbacks")
"""Counters of a model that answers carry to the client."""


@dataclass(slots=True)
class Served:
    """What a server did until now."""

    clients: int = 0
    requests: int = 0
    frames: int = 0
    refused: int = 0
    pricing_seconds: float = 0.0


@dataclass(slots=True)
class _Session:
    """One client; ``looks`` is at a replica of its own once it steps episodes. ``patience``: for a slot, in seconds."""

    sock: socket.socket
    patience: float
    looks: SeparateLooks | None = None
    greeted: bool = False

    @property
    def model(self) -> RewardModel | None:
        return None if self.looks is None else self.looks.model


@dataclass(slots=True)
class RewardServer:
    """Prices what clients send, one request at a time.

    ``queue``: how many requests may wait in memory; the pictures of further ones stay with their clients until there is
    room, and after ``timeout`` seconds, or half the time that they themselves wait for an answer if that is less, they
    are told that the server is busy. ``timeout`` also bounds how long one message may take to arrive. ``once``: ends
    when its last client has gone, or if none comes within ``timeout`` seconds. ``public``: may listen at an address
    that faces the network.
    """

    address: str
    queue: int = 4
    timeout: float = 60.0
    once: bool = False
    public: bool = False
    served: Served = field(default_factory=Served)
    _sources: Sequence[Source] | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _sessions: dict[int, socket.socket] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.queue < 1 or self.timeout <= 0:
            raise UserError(f"queue={self.queue} must be 1 or more and timeout={self.timeout} above 0 seconds")

    def stop(self) -> None:
        """Makes ``serve`` return soon; may be called from another thread."""
        self._stop.set()

    def serve(
        self,
        model: RewardModel,
        ready: Callable[[str], None] = lambda address: None,
        sources: Sequence[Source] | None = None,
    ) -> Served:
        """Listens until ``stop``, an interruption, or the last client's leave (``once``). ``ready`` hears the address.

        ``sources``: where the model comes from; clients are told what the audits of that say, nothing with None.

        Raises:
            UserError: if the address cannot be had, or an audit.json is damaged.
        """
        self._sources = None if sources is None else [source.hashed() for source in sources]
        self._audits()  # one that is damaged is heard of here, not by the clients alone
        slots = threading.BoundedSemaphore(self.queue)
        sock, bound = listen(parse_address(self.address), self.public)
        try:
            ready(str(bound))
            self._accept(sock, model, slots)
        finally:
            self._stop.set()
            sock.close()
            remove(bound)
            for client in list(self._sessions.values()):
                with contextlib.suppress(OSError):  # gone already
                    client.shutdown(socket.SHUT_RDWR)
        return self.served

    def _accept(self, sock: socket.socket, model: RewardModel, slots: threading.BoundedSemaphore) -> None:
        started, number = time.monotonic(), 0
        while not self._stop.is_set():
            if self.once and not self._sessions and (self.served.clients or time.monotonic() - started > self.timeout):
                return
            if not select.select([sock], [], [], 0.2)[0]:
                continue
            client, _ = sock.accept()
            number += 1
            self._sessions[number] = client
            work = threading.Thread(
                target=self._attend, args=(number, _Session(client, self.timeout), model, slots), daemon=True
            )
            work.start()

    def _attend(self, number: int, session: _Session, model: RewardModel, slots: threading.BoundedSemaphore) -> None:
        """One client until it leaves or stops making sense."""
        try:
            while not self._stop.is_set():
                head = wire.receive_head(session.sock)
                wire.send(session.sock, self._respond(head, session, model, slots), self.timeout)
        except wire.ConnectionLost:
            pass
        except (wire.WireError, TimeoutError) as error:
            _tell(session.sock, Message("refused", {"error": str(error)}))
        finally:
            session.sock.close()
            self._sessions.pop(number, None)

    def _respond(self, head: Head, session: _Session, model: RewardModel, slots: threading.BoundedSemaphore) -> Message:
        if head.kind == "hello":
            session.patience = _patience(head.fields.get("timeout"), self.timeout)
        if not slots.acquire(timeout=session.patience):
            wire.discard_body(session.sock, head, self.timeout)
            self.served.refused += 1
            waited = f"{self.queue} requests are waiting before it (waited {session.patience:g} s)"
            return Message("refused", {"error": f"the reward server is busy: {waited}; try later, or raise its queue="})
        try:
            message = wire.receive_body(session.sock, head, self.timeout)
            with self._turn:
                return self._handle(message, session, model)
        except wire.WireError:
            raise
        except UserError as error:
            return Message("refused", {"error": str(error)})
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            return Message("fault", {"error": f"{type(error).__name__}: {error}"})
        finally:
            slots.release()

    def _handle(self, message: Message, session: _Session, model: RewardModel) -> Message:
        if message.kind == "hello":
            session.greeted = True
            self.served.clients += 1
            return Message("hello", _introduce(model) | self._audits())
        if not session.greeted:
            raise wire.WireError(f"a client must say hello before '{message.kind}'")
        start, before = time.perf_counter(), _counted(session.model, model)
        answer, frames = self._answer(message, session, model)
        self.served.requests += 1
        self.served.frames += frames
        self.served.pricing_seconds += time.perf_counter() - start
        counted = {name: n - before.get(name, 0) for name, n in _counted(session.model, model).items()}
        return replace(answer, fields={"counts": counted})

    def _answer(self, message: Message, session: _Session, model: RewardModel) -> tuple[Message, int]:
        """With how many frames were priced for it."""
        if message.kind == "estimate_group" and isinstance(model, GroupRewardModel):
            traces, success = messages.unpack_group(message)
            rewards = model.estimate_group(traces, success)
            return messages.pack_rewards(rewards), sum(len(trace.frame_steps) for trace in traces)
        estimate = self._price(message, session, model)
        return messages.pack_estimate(estimate), len(estimate.progress)

    def _audits(self) -> dict[str, Any]:
        """As they are now, of the weights as they were when this server read them."""
        if self._sources is None:
            return {}
        return {"audits": pack_audits([audit for source in self._sources for audit in source.audits()])}

    def _price(self, message: Message, session: _Session, model: RewardModel) -> Estimate:
        if message.kind == "estimate_episode":
            return model.estimate_episode(messages.unpack_trace(message))
        if message.kind == "begin":
            if session.looks is None:
                session.looks = SeparateLooks(replicate(model))
            return session.looks.begin(*messages.unpack_begin(message))
        if message.kind == "estimate":
            if session.looks is None:
                raise UserError("the reward server was asked for a step of an episode that it has not seen begin")
            return session.looks.estimate_where(*messages.unpack_step(message))
        raise wire.WireError(f"a client asked for '{message.kind}', which no server of this version does")


def _introduce(model: RewardModel) -> dict[str, Any]:
    size = getattr(model, "frame_size", None)
    traits = traits_of(model)
    return {
        "model": type(model).__name__,
        "needs": messages.pack_needs(model.needs),
        "pid": os.getpid(),
        "frame_size": None if size is None else list(size),
        "gives_match": traits.gives_match,  # what older clients ask for
        "traits": traits.as_json(),
        "groups": isinstance(model, GroupRewardModel),
        "groups_refused": getattr(model, "groups_refused", ""),
    }


def _patience(told: Any, timeout: float) -> float:
    """Half of what a client says that it waits: its clock also runs while its pictures wait to be sent."""
    well = isinstance(told, int | float) and not isinstance(told, bool) and 0 < told < math.inf
    return min(timeout, told / 2) if well else timeout


def _counted(*models: RewardModel | None) -> dict[str, int]:
    """The counters of one client's replica and the shared model together."""
    held = [m for m in models if m is not None]
    return {name: sum(int(getattr(m, name, 0) or 0) for m in held) for name in COUNTS}


def _tell(sock: socket.socket, message: Message) -> None:
    """A last word, if it is still heard. What the client goes on saying is read away: closing on it would unsay it."""
    try:
        wire.send(sock, message, 1.0)
        sock.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline and sock.recv(1 << 16):
            pass
    except (wire.WireError, OSError):
        return
