"""Every way in which a reward server or what is said to it can fail, addresses, and servers of one's own."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from robo_reward.contract_tests import (
    moving_square,
    observe_frames,
    step_through,
)
from robo_reward.contracts import Estimate
from robo_reward.errors import UserError
from robo_reward.line_world import LineReward
from robo_reward.reward_models.remote import wire
from robo_reward.reward_models.remote.address import listen, parse_address
from robo_reward.reward_models.remote.client import connect_remote
from robo_reward.reward_models.remote.link import ServerLost
from robo_reward.trace import Trace

sys.path.append(str(Path(__file__).parent))
from reward_server import Slow, serving

ON = np.ones(1, bool)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[str]:
    with serving(LineReward(), str(tmp_path / "s")) as (address, _):
        yield address


def same(one: Estimate, other: Estimate) -> None:
    for name in ("progress", "gain", "success", "uncertainty"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-5, err_msg=name)


# --- failures ---------------------------------------------------------------------------------------------------------


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(ServerLost, match=r"no reward server answers at unix:.*robo-reward serve"):
        connect_remote(str(tmp_path / "nobody"))


def test_no_answer_in_time(tmp_path: Path) -> None:
    model = Slow()
    with serving(model, str(tmp_path / "s")) as (address, _):
        remote = connect_remote(address, timeout=0.2)
        with pytest.raises(ServerLost, match=r"no answer within timeout=0.2 s.*raise reward_model.timeout"):
            remote.estimate_episode(moving_square(1))
        model.go_on.set()
        assert len(remote.estimate_episode(moving_square(1)).progress) == 17, (
            "the late answer is not taken for this one"
        )


def test_a_restart_is_noticed_where_it_matters(tmp_path: Path) -> None:
    address, episode = str(tmp_path / "s"), moving_square(4)
    with serving(LineReward(), address):
        remote = connect_remote(address)
        step_through(remote, [episode])
    with pytest.raises(ServerLost, match="no reward server answers"):
        remote.estimate_episode(episode)
    with serving(LineReward(), address):
        same(remote.estimate_episode(episode), LineReward().estimate_episode(episode))
        assert len(step_through(remote, [episode])) == 17, "episodes that begin anew are fine"
    with serving(LineReward(), address):
        remote.estimate_episode(episode)
        with pytest.raises(ServerLost, match="lost since these episodes began"):
            remote.begin(observe_frames([(episode, 0), (episode, 0)]), np.array([True, False]))
    with serving(LineReward(stride=3), address), pytest.raises(UserError, match="serve the same model again"):
        remote.estimate_episode(episode)


def test_a_fault_of_the_model_is_no_users_mistake(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    class Broken(LineReward):
        def estimate_episode(self, trace: Trace) -> Estimate:
            raise ZeroDivisionError("by hand")

    with serving(Broken(), str(tmp_path / "s")) as (address, _):
        with pytest.raises(RuntimeError, match="failed: ZeroDivisionError: by hand"):
            connect_remote(address).estimate_episode(moving_square(1))
        assert "ZeroDivisionError" in capfd.readouterr().err


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    class Empty(LineReward):
        def estimate_episode(self, trace: Trace) -> Estimate:
            seen = super().estimate_episode(trace)
            seen.progress[2] = np.nan
            return seen

    with (
        serving(Empty(), str(tmp_path / "s")) as (address, _),
        pytest.raises(UserError, match=r"'progress'.* not finite"),
    ):
        connect_remote(address).estimate_episode(moving_square(1))


def test_views_that_are_missing_are_named(line: str) -> None:
    with pytest.raises(UserError, match=r"reads the view 'front', these pictures are of \['top'\]"):
        connect_remote(line).estimate_episode(moving_square(1, views=("top",)))


def test_a_model_of_whole_episodes_refuses_steps(tmp_path: Path) -> None:
    with serving(LineReward(episode=True), str(tmp_path / "s")) as (address, _):
        remote = connect_remote(address)
        with pytest.raises(UserError, match=r"prices whole episodes; use pricing=deferred"):
            remote.begin(observe_frames([(moving_square(1), 0)]), ON)


def speak(address: str, data: bytes) -> bytes:
    """What the server answers to raw bytes."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(5)
    sock.connect(address.removeprefix("unix:"))
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)
    answer = b""
    while chunk := sock.recv(4096):
        answer += chunk
    return answer


def framed(header: Any, size: int = 0, version: int = wire.VERSION) -> bytes:
    said = header if isinstance(header, bytes) else json.dumps(header).encode()
    return wire.PREFIX.pack(wire.MAGIC, version, len(said), size) + said


HELLO = {"kind": "hello", "fields": {}, "arrays": []}


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"not robo-reward's protocol"),
        (framed(HELLO, version=9), b"speaks version 9 of the reward protocol, this side version 2"),
        (framed(b"{not json"), b"makes no sense"),
        (framed(b"[" * 100_000), b"makes no sense"),
        (framed({"kind": "begin", "fields": {}, "arrays": []}), b"must say hello"),
        (framed(HELLO) + framed({"kind": "exec", "fields": {}, "arrays": []}), b"no server of this version"),
        (framed({**HELLO, "arrays": [["a", "|O", [1]]]}, 8), b"'|O' are not sent"),
        (framed({**HELLO, "arrays": [["a", "<f4", [4]]]}, 8), b"do not fit its size"),
        (framed({**HELLO, "arrays": [["a", "<f4", [-1]]]}), b"makes no sense"),
        (framed(HELLO) + framed({"kind": "estimate_episode", "fields": {}, "arrays": []}), b"lacks state"),
        (wire.PREFIX.pack(wire.MAGIC, wire.VERSION, 10, 1 << 60), b"over the limit"),
        (framed(HELLO)[:-4], b""),
    ],
)
def test_nonsense_is_refused_and_the_server_lives_on(line: str, data: bytes, answer: bytes) -> None:
    assert answer in speak(line, data)
    assert len(connect_remote(line).estimate_episode(moving_square(1)).progress) == 17


def test_a_server_of_another_version_is_named(tmp_path: Path) -> None:
    sock, _ = listen(parse_address(str(tmp_path / "s")))
    threading.Thread(target=lambda: sock.accept()[0].sendall(framed(HELLO, version=3)), daemon=True).start()
    with pytest.raises(UserError, match=r"version 3 of the reward protocol, this side version 2.*same robo-reward"):
        connect_remote(str(tmp_path / "s"))


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.sampled_from(["u1", "<f4", "<i8", "bool"]).flatmap(
            lambda d: hnp.arrays(np.dtype(d), hnp.array_shapes(min_dims=0, min_side=0, max_side=5))
        ),
        max_size=4,
    )
)
@settings(max_examples=40, deadline=None)
def test_any_arrays_come_over_the_wire_as_they_were(arrays: dict[str, Any]) -> None:
    one, two = socket.socketpair()
    with one, two:
        wire.send(one, wire.Message("any", {"x": [1, "ü"]}, arrays), 5)
        got = wire.receive(two, 5)
    assert (got.kind, got.fields) == ("any", {"x": [1, "ü"]})
    assert list(got.arrays) == list(arrays)
    for name, array in arrays.items():
        assert got.arrays[name].dtype == array.dtype
        assert got.arrays[name].shape == array.shape
        assert got.arrays[name].tobytes() == array.tobytes()
        assert got.arrays[name].flags.aligned
