"""A reward server in a thread of the test's own process."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from robo_reward.contracts import Estimate, RewardModel
from robo_reward.line_world import LineReward
from robo_reward.reward_audits import Source
from robo_reward.reward_models.remote.server import RewardServer
from robo_reward.trace import Trace


class Slow(LineReward):
    """Prices when it is told to."""

    parse_failures = 0

    def __init__(self) -> None:
        super().__init__()
        self.started, self.go_on = threading.Event(), threading.Event()

    def estimate_episode(self, trace: Trace) -> Estimate:
        self.parse_failures += 2
        self.started.set()
        assert self.go_on.wait(20)
        return super().estimate_episode(trace)


@contextmanager
def serving(
    model: RewardModel, address: str, sources: Sequence[Source] | None = None, **settings: Any
) -> Iterator[tuple[str, RewardServer]]:
    """The address that a server of ``model`` listens at, and the server, until the block ends."""
    server, bound, failed = RewardServer(address, **settings), list[str](), list[BaseException]()
    ready = threading.Event()

    def run() -> None:
        try:
            server.serve(model, lambda at: (bound.append(at), ready.set())[1], sources)  # type: ignore[func-returns-value]
        except BaseException as error:
            failed.append(error)
            ready.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    if failed:
        raise failed[0]
    try:
        yield bound[0], server
    finally:
        server.stop()
        thread.join(10)


@cache
def standing_address() -> str:
    """A server of ``LineReward`` that stands until the tests end."""
    entered = serving(LineReward(), str(Path(tempfile.mkdtemp(prefix="rr-")) / "line.sock"))
    address, _ = entered.__enter__()
    _STANDING.append(entered)
    return address


_STANDING: list[Any] = []
