"""Test-time adaptation on an arm: a user's object changes the policy between episodes, and the guard stays as it is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scservo_sdk")
sys.path.append(str(Path(__file__).parent))
from deployable import make_run  # type: ignore[import-not-found]
from test_deploy_verb import LENIENT

from robo_reward import cli
from robo_reward.data.datasets import read_dataset
from robo_reward.real_robot.black_box import read_black_box

MINE = """
import torch

class Faster:
    def __init__(self, times):
        self.times = times

    def adapt(self, policy, episode):
        assert episode.success is None, "the twin's verdict is not for who adapts"
        with torch.no_grad():
            policy.net.action_net.bias.mul_(self.times)
        return {"steps": len(episode)}

class Idle:
    pass
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_adaptation.py").write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return make_run(tmp_path / "run", action=(0.2, 0, 0, 0, 0, 0))


def words(run: Path, out: Path, hook: str) -> list[str]:
    asked = ["deploy", f"run={run}", f"run_dir={out}", "seconds=2", "episodes=2", *LENIENT]
    return [*asked, f"adaptation={{_target_: my_adaptation.{hook}}}"]


def test_the_adapted_policy_acts_in_the_next_episode_within_the_limits(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli.run(words(run, out, "Faster, times: -4.0")) == 0
    first, second = read_dataset(str(out / "episodes"), views=("front",))
    pan = [float(episode.action[-1, 0] - episode.action[0, 0]) for episode in (first, second)]
    assert pan[0] > 0.5, "0.2 of 60 deg/s to one side; a busy machine moves it less"
    assert pan[1] < -0.5, "0.8 to the other"
    sent = np.array([record["goal"][0] for record in read_black_box(out / "black_box.jsonl") if "goal" in record])
    assert np.abs(np.diff(sent)).max() <= 60 * 0.02 + 1e-6
    again = tmp_path / "again"
    assert cli.run(["deploy", f"run={out}", f"run_dir={again}", "seconds=2", *LENIENT]) == 0
    (third,) = read_dataset(str(again / "episodes"), views=("front",))
    assert third.action[-1, 0] > third.action[0, 0] + 0.5, "0.2 * -4 * -4: as it was at the end"


def test_a_policy_that_an_adaptation_broke_moves_nothing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.run(words(run, out, "Faster, times: nan")) == 3
    assert "after its adaptation" in capsys.readouterr().err
    assert len((out / "episodes.jsonl").read_text().splitlines()) == 1
    assert json.loads((out / "summary.json").read_text())["notes"]["arm"].startswith("HOLD")
    commands = [record for record in read_black_box(out / "black_box.jsonl") if "command" in record]
    assert commands
    assert np.isfinite([list(record["command"]["goal"].values()) for record in commands]).all()


def test_what_is_no_adaptation_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(words(run, tmp_path / "out", "Idle")) == 2
    assert "Idle has no adapt(policy, episode)" in capsys.readouterr().err
    assert cli.run(["deploy", "adaptation={_target_: my_adaptation.Idle}"]) == 2
    assert "give run=DIR" in capsys.readouterr().err
