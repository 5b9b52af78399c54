"""serve as a user runs it: in a process of its own, priced by clients, stopped with a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from robo_reward import cli
from robo_reward.contract_tests import moving_square
from robo_reward.line_world import LineReward
from robo_reward.reward_models.remote.client import connect_remote

SETTINGS = "# Brightness.\n_target_: robo_reward.line_world.LineReward\n"


@contextmanager
def served(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """The verb in a process of its own, listening."""
    (folder / "settings" / "reward_model").mkdir(parents=True)
    (folder / "settings" / "reward_model" / "line.yaml").write_text(SETTINGS)
    command = [
        sys.executable,
        "-m",
        "robo_reward.cli",
        "serve",
        "--config-dir",
        "settings",
        "reward_model=line",
        *words,
    ]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_it_serves_says_where_and_stops_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with served(tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "serving line at unix:reward.sock\n"
        episode = moving_square(1)
        seen = connect_remote("reward.sock").estimate_episode(episode)
        np.testing.assert_array_equal(seen.progress, LineReward().estimate_episode(episode).progress)
        process.send_signal(signal.SIGTERM)
        said = process.stdout.read()
        assert process.wait(10) == 0, said
        assert "1 client(s), 1 request(s), 17 frame(s) priced" in said
        assert not Path("reward.sock").exists()


def test_once_ends_with_the_last_client(tmp_path: Path) -> None:
    with served(tmp_path, "once=true", "address=tcp:127.0.0.1:0") as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        one, two = connect_remote(address), connect_remote(address)
        one.close()
        time.sleep(0.6)
        assert process.poll() is None
        two.close()
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["queue=0"], "queue=0 must be a whole number of 1 or more"),
        (["reward_model=env_dense"], "simulator's own signal"),
        (["reward_model=nothing"], "unknown reward_model"),
        (["reward_model.path=nowhere"], "'nowhere' holds no reward model"),
        (["reward_model=remote"], "needs reward_model.address=ADDRESS"),
        (["env.views=[front]", "address=tcp:0.0.0.0:0"], "faces the network"),
        (["env.views=[front]", "timeout=-1"], "timeout=-1"),
    ],
)
def test_mistakes_exit_with_2(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["serve", *words]) == 2
    assert said in capsys.readouterr().err
