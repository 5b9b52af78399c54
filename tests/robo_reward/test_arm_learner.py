"""The line between the arm's loop and its learner: episodes one way, weights the other, and what happens at the end."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from robo_reward.arm.json_lines import JsonLines
from robo_reward.arm.learner_process import LearnerProcess
from robo_reward.arm.learner_work import serve
from robo_reward.errors import UserError


class Work:
    """Two slices of work for each episode."""

    def __init__(self) -> None:
        self.heard, self.left, self.version, self.saved = 0, 0, 0, list[str]()

    def hear(self, number: int) -> None:
        self.heard, self.left = number + 1, self.left + 2

    def work(self) -> bool:
        self.left -= self.left > 0
        return self.left > 0

    def publish(self, idle: bool) -> dict[str, Any]:
        self.version += 1
        return {"weights": self.version, "heard": self.heard, "idle": idle, "metrics": {"loss": 0.5}}

    def save(self, folder: Path) -> None:
        self.saved.append(str(folder))


@pytest.fixture
def ends() -> Any:
    """The line's two ends and what serves it."""
    down, up = os.pipe(), os.pipe()
    work = Work()
    thread = threading.Thread(target=serve, args=(work, JsonLines(down[0], up[1])), daemon=True)
    thread.start()
    process = LearnerProcess(Path("run"), None)
    process._line = JsonLines(up[0], down[1])
    yield SimpleNamespace(work=work, process=process, thread=thread, close=lambda: os.close(down[1]))
    os.close(up[0])


def test_weights_come_while_nobody_waits_for_them(ends: Any) -> None:
    process = ends.process
    process._wait(lambda: process.version > 0, 5.0, "to start")
    process.tell(0)
    process.catch_up(1, 0)
    assert (process.heard, process.idle) == (1, True)
    assert process.listen() == Path("run/weights") / f"{process.version:06d}"
    assert process.metrics == {"loss": 0.5}


def test_the_arm_waits_only_for_a_learner_that_lags_too_far(ends: Any) -> None:
    process = ends.process
    process._wait(lambda: process.version > 0, 5.0, "to start")
    process.catch_up(1, 1)  # one behind is allowed: returns although nothing was heard
    assert process.heard == 0
    for number in range(3):
        process.tell(number)
    process.catch_up(3, 1)
    assert process.heard >= 2


def test_it_saves_when_it_is_asked_to(ends: Any, tmp_path: Path) -> None:
    ends.process._wait(lambda: ends.process.version > 0, 5.0, "to start")
    ends.process.save(tmp_path)
    assert ends.work.saved == [str(tmp_path)]


def test_it_ends_when_the_other_side_is_gone(ends: Any) -> None:
    ends.close()
    ends.thread.join(5)
    assert not ends.thread.is_alive()


def test_chatter_is_not_taken_for_words_and_halves_are_waited_for() -> None:
    incoming, outgoing = os.pipe()
    line = JsonLines(incoming, outgoing)
    os.write(outgoing, b'loading weights ...\n{"a": 1}\n{"b":')
    assert line.read(1.0) == [{"a": 1}]
    os.write(outgoing, b" 2}\n")
    assert line.read(1.0) == [{"b": 2}]
    assert line.read(0.01) == []
    os.close(outgoing)
    assert line.read(0.1) == []
    assert line.closed


def test_an_error_of_the_learner_is_the_users_to_read() -> None:
    incoming, outgoing = os.pipe()
    process = LearnerProcess(Path("run"), None)
    process._line = JsonLines(incoming, outgoing)
    os.write(outgoing, json.dumps({"error": "no demonstration succeeded"}).encode() + b"\n")
    with pytest.raises(UserError, match="no demonstration succeeded"):
        process.listen()
    os.close(outgoing)
    with pytest.raises(UserError, match="process ended"):
        process.catch_up(1, 0)
