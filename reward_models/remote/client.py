"""A reward model whose prices come from a server process: ``reward_model=remote``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robo_reward.contracts import Estimate, Flags, Floats, Observation, Transition
from robo_reward.errors import UserError
from robo_reward.reward_models.remote import messages
from robo_reward.reward_models.remote.address import parse_address
from robo_reward.reward_models.remote.link import Greeting, Link, ServerLost
from robo_reward.reward_models.remote.spawn import start_server
from robo_reward.reward_models.remote.wire import Message
from robo_reward.trace import Trace


class RemoteReward:
    """Sends what the served model needs and returns what it says.

    A lost connection is made anew where nothing is lost by it (whole episodes, and steps where all worlds begin); in
    the midst of stepped episodes it is an error, since the server's memory of them is gone. ``parse_failures`` and
    ``fallbacks`` count what the served model counted for this client. What the served model says of itself
    (``traits.py``) holds here too, it prices groups if that does (``GroupRewardModel``), and ``served_audits`` is what
    the audit says of it. It is not trained from here.
    """

    def __init__(self, link: Link, greeting: Greeting) -> None:
        self.needs, self.frame_size = greeting.needs, greeting.frame_size
        self.served_model, said = greeting.model, greeting.traits
        self.prices, self.knows_progress, self.knows_success = said.prices, said.knows_progress, said.knows_success
        self.reads_instructions, self.gives_match = said.reads_instructions, said.gives_match
        self.threshold, self.gives_hops = said.threshold, said.gives_hops
        self.takes_fewer_views, self.spread_of = said.takes_fewer_views, said.spread_of
        self.served_audits, self.groups_refused = greeting.audits, greeting.groups_refused
        if greeting.groups:
            self.estimate_group = self._estimate_group  # GroupRewardModel asks for the name
        self.parse_failures = self.fallbacks = 0
        self._link, self._greeting = link, greeting
        self._begun = -1

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        """Estimates (N,).

        Raises:
            ServerLost: the server is gone, or was restarted while other worlds are in the middle of an episode.
        """
        self._steps_allowed()
        if not fresh.all():
            self._same_server()
        answer = self._ask(
            messages.pack_begin(first, fresh, self.needs.views, self.takes_fewer_views), again=bool(fresh.all())
        )
        self._begun = self._link.opened
        return self._estimate(answer, len(fresh))

    def estimate(self, transition: Transition) -> Estimate:
        """Estimates (N,) of the state that was reached; errors as ``begin``."""
        return self.estimate_where(transition, np.ones(len(transition.terminated), bool))

    def estimate_where(self, transition: Transition, look: Flags) -> Estimate:
        """As ``LooksApart``; errors as ``begin``."""
        self._steps_allowed()
        self._same_server()
        answer = self._ask(messages.pack_step(transition, look, self.needs.views, self.takes_fewer_views), again=False)
        return self._estimate(answer, len(transition.terminated))

    def estimate_episode(self, trace: Trace) -> Estimate:
        """Estimates (F,), in one message."""
        answer = self._ask(messages.pack_trace(trace, self.needs.views, self.takes_fewer_views), again=True)
        return self._estimate(answer, len(trace.frame_steps))

    def _estimate_group(self, traces: Sequence[Trace], success: Flags | None = None) -> Floats:
        """Rewards (G,), in one message."""
        answer = self._ask(messages.pack_group(traces, success, self.needs.views, self.takes_fewer_views), again=True)
        self._count(answer)
        return messages.unpack_rewards(answer, len(traces))

    def close(self) -> None:
        """Hangs up; a server that was spawned ends."""
        self._link.close()
        if self._link.process is not None:
            self._link.process.close()

    def _steps_allowed(self) -> None:
        if self.needs.episode:
            raise UserError(f"the served {self.served_model} prices whole episodes; use pricing=deferred")

    def _same_server(self) -> None:
        if self._begun != self._link.opened or not self._link.connected:
            raise ServerLost(
                f"the connection to the reward server at {self._link.address} was lost since these episodes began, and "
                "with it what the server knew of them: start them anew (resume the run), or use pricing=deferred"
            )

    def _ask(self, message: Message, again: bool) -> Message:
        """The answer; with ``again`` once more over a new connection if the old one is dead."""
        if self._link.connected:
            try:
                return self._link.ask(message)
            except ServerLost as error:
                if not again or isinstance(error.__cause__, TimeoutError):
                    raise
        elif not again:
            self._same_server()
        self._reopen()
        return self._link.ask(message)

    def _reopen(self) -> None:
        found = self._link.open()
        if found != self._greeting:
            self._link.close()
            raise UserError(
                f"the server at {self._link.address} now serves {found.model} with {found.needs} and {found.traits}, "
                f"this run began with {self._greeting.model} with {self._greeting.needs} and {self._greeting.traits}: "
                "serve the same model again"
            )

    def _estimate(self, answer: Message, count: int) -> Estimate:
        self._count(answer)
        return messages.unpack_estimate(answer, count)

    def _count(self, answer: Message) -> None:
        counts = answer.fields.get("counts") or {}
        self.parse_failures += int(counts.get("parse_failures", 0))
        self.fallbacks += int(counts.get("fallbacks", 0))


def connect_remote(
    address: str | None = None,
    timeout: float = 60.0,
    python: str | None = None,
    spawn: Mapping[str, Any] | None = None,
    start_timeout: float = 120.0,
) -> RemoteReward:
    """A remote reward on a running server at ``address``, or on a server of its own that prices with ``spawn``.

    Raises:
        UserError: neither address nor spawn, python without spawn, no server, one of another version, or another's
            server where its own was to listen.
    """
    if timeout <= 0 or start_timeout <= 0:
        raise UserError(f"timeout={timeout:g} and start_timeout={start_timeout:g} must be above 0 seconds")
    if address is None and spawn is None:
        raise UserError(
            "reward_model=remote needs reward_model.address=ADDRESS of a server (robo-reward serve), or "
            "reward_model.spawn={path: FOLDER} to start its own"
        )
    if python is not None and spawn is None:
        raise UserError("reward_model.python is the interpreter of a spawned server: give reward_model.spawn too")
    process = None
    if spawn is None:
        place = parse_address(str(address))
    else:
        process, place = start_server(spawn, python, address, start_timeout)
    link = Link(place, timeout, process)
    try:
        return RemoteReward(link, link.open())
    except BaseException:
        if process is not None:
            process.close()
        raise
