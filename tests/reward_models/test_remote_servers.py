"""Addresses of reward servers, and servers of one's own: they start, die loudly, and never outlive their client."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from robo_reward.contract_tests import (
    moving_square,
)
from robo_reward.contracts import Estimate
from robo_reward.errors import UserError
from robo_reward.line_world import LineReward
from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.progress_fit import FitSettings
from robo_reward.reward_models.remote.address import listen, parse_address
from robo_reward.reward_models.remote.client import RemoteReward, connect_remote
from robo_reward.reward_models.remote.link import ServerLost

sys.path.append(str(Path(__file__).parent))
from reward_server import serving

ON = np.ones(1, bool)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def fitted() -> ProgressModel:
    torch.set_num_threads(1)
    model = ProgressModel(("front",), 1, "milestones", 2, refit_steps=3, fit=FitSettings(steps=8))
    model.fit([moving_square(0)], [moving_square(k, source="random") for k in (1, 2)], seed=0)
    return model


def same(one: Estimate, other: Estimate) -> None:
    for name in ("progress", "gain", "success", "uncertainty"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-5, err_msg=name)


# --- addresses --------------------------------------------------------------------------------------------------------


def test_addresses(tmp_path: Path) -> None:
    assert str(parse_address("a/b.sock")) == "unix:a/b.sock"
    assert str(parse_address("tcp:[::1]:80")) == "tcp:[::1]:80"
    for text, said in (
        ("", "is empty"),
        ("tcp:x", "no TCP address"),
        ("tcp:h:99999", "no TCP"),
        ("x" * 200, "107 bytes"),
    ):
        with pytest.raises(UserError, match=said):
            parse_address(text)
    with pytest.raises(UserError, match=r"faces the network.*public=true"):
        listen(parse_address("tcp:0.0.0.0:0"))
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(UserError, match="exists and is no socket"):
        listen(parse_address(str(file)))
    assert file.read_text() == "mine"


def test_a_socket_is_private_taken_once_and_its_remains_are_replaced(tmp_path: Path) -> None:
    address = str(tmp_path / "s")
    with serving(LineReward(), address):
        assert os.stat(address).st_mode & 0o077 == 0
        with pytest.raises(UserError, match="another server listens"), serving(LineReward(), address):
            pass
        connect_remote(address)
    assert not os.path.exists(address)
    left = socket.socket(socket.AF_UNIX)
    left.bind(address)
    left.close()
    with serving(LineReward(), address):
        connect_remote(address)


# --- a server of one's own --------------------------------------------------------------------------------------------


def gone(pid: int) -> bool:
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_a_spawned_server_prices_dies_loudly_and_never_outlives_its_client(
    fitted: ProgressModel, tmp_path: Path
) -> None:
    from robo_reward.build import build_reward_model, save_reward_model

    config = {"_target_": "robo_reward.reward_models.progress.ProgressModel", "views": ["front"], "stride": 1}
    config |= {"head": "milestones", "members": 2}
    from omegaconf import OmegaConf

    save_reward_model(fitted, OmegaConf.create(config), tmp_path / "model")
    remote = build_reward_model(
        {
            "_target_": "robo_reward.reward_models.remote.client.connect_remote",
            "_recursive_": False,
            "spawn": {"path": str(tmp_path / "model")},
            "python": sys.executable,
        }
    )
    assert isinstance(remote, RemoteReward)
    episode = moving_square(40)
    same(remote.estimate_episode(episode), fitted.estimate_episode(episode))
    own = remote._link.process
    assert own is not None
    os.kill(own.process.pid, signal.SIGKILL)
    with pytest.raises(ServerLost, match=r"it ended with code -9"):
        remote.estimate_episode(episode)
    again = connect_remote(spawn={"_target_": "robo_reward.line_world.LineReward"})
    process = again._link.process
    assert process is not None
    again._link.close()  # as if this process had died: the server sees its last client go
    assert process.process.wait(10) == 0
    remote.close()
    again.close()
    assert not process.folder.exists()


def test_a_server_of_ones_own_is_never_mistaken_for_another(tmp_path: Path) -> None:
    class Half(LineReward):
        pass

    with serving(Half(), str(tmp_path / "s")) as (address, server):
        with pytest.raises(
            UserError, match=rf"process {os.getpid()}, which serves Half\) listens at .*leave spawn out"
        ):
            connect_remote(address, spawn={"_target_": "robo_reward.line_world.LineReward"})
        assert server.served.requests == 0
        assert connect_remote(address).served_model == "Half", "the other one is none the worse for it"


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"did not start \(it ended with code 2; its last words:[\s\S]*nowhere"):
        connect_remote(spawn={"path": str(tmp_path / "nowhere")})
    with pytest.raises(
        UserError, match=r"address=tcp:127\.0\.0\.1:0 .* names no port.*leave reward_model\.address out"
    ):
        connect_remote("tcp:127.0.0.1:0", spawn={"_target_": "robo_reward.line_world.LineReward"})
    with pytest.raises(UserError, match="is no program"):
        connect_remote(spawn={}, python=str(tmp_path / "python"))
    with pytest.raises(UserError, match=r"needs reward_model\.address"):
        connect_remote()
    with pytest.raises(UserError, match=r"give reward_model\.spawn too"):
        connect_remote("x", python="python")
