"""evaluate disturbance=sweep of a small model of one's own: what is said beforehand, and what an error leaves."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Never

import pytest

from robo_reward import cli
from robo_reward.errors import UserError
from robo_reward.pushes import sweep_run
from robo_reward.pushes.trial import PushTrials

sys.path.append(str(Path(__file__).parent.parent / "envs"))
from slider_task import SLIDER  # type: ignore[import-not-found]

QUICK = [
    "disturbance=sweep", "disturbance.forces=[0]", "disturbance.episodes=2", "disturbance.schedule.seconds=1.2",
    "disturbance.adversary.reward_bound=1", "video=false",
]  # fmt: skip


@pytest.fixture(scope="module")
def slid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in a world that has a success test, but no reward."""
    folder = tmp_path_factory.mktemp("slid")
    (folder / "slider.xml").write_text(SLIDER)
    words = (
        f"env=mjcf env.xml={folder / 'slider.xml'} env.success=slider_task:success reward_model=env_sparse "
        "transform=none judge=none audit=none learner=ppo learner.n_steps=32 steps=64 env.horizon=16 episodes=1 "
        f"evaluation_seeds=[1] evaluate_every_episodes=1 video=false report=false run_dir={folder / 'run'}"
    )
    assert cli.run(["train", *words.split()]) == 0
    return folder / "run"


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be measured."""

    def run(*_: Any) -> Never:
        raise AssertionError("an episode was pushed")

    monkeypatch.setattr(PushTrials, "run", run)


@pytest.mark.usefixtures("unmeasured")
def test_a_world_without_reward_is_told_before_anything_is_measured(
    slid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["evaluate", f"run={slid}", f"run_dir={tmp_path / 'e'}", *QUICK]) == 2
    told = capsys.readouterr().err
    assert "has no reward to learn from" in told
    assert "disturbance.kinds=[constant,sudden,periodic]" in told


def test_an_error_leaves_the_curves_that_were_measured(
    slid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Never:
        raise UserError("the practice ended")

    monkeypatch.setattr(sweep_run, "train_worst_case", fail)
    words = ["+env.reward=slider_task:reward", "disturbance.kinds=[constant,sudden,worst]", f"run_dir={tmp_path / 'e'}"]
    assert cli.run(["evaluate", f"run={slid}", *QUICK, *words]) == 2
    curves = json.loads((tmp_path / "e" / "disturbance.json").read_text())["curves"]
    assert {kind: len(curve["points"]) for kind, curve in curves.items()} == {"constant": 2, "sudden": 2}
    summary = json.loads((tmp_path / "e" / "summary.json").read_text())
    assert summary["status"] == "failed"
    assert set(summary["notes"]) == {"run", "f50_constant", "f50_sudden"}


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize(
    ("word", "match"),
    [
        ("+env.num_worlds=4", "env.num_worlds=4 has no use here: set disturbance.worlds"),
        ("+env.horizon=50", "env.horizon=50 has no use here: an episode lasts disturbance.schedule"),
        ("+env.keyfram=left", "env.keyfram=left: the world of this run (robo_reward.envs.mjcf_env.make_world) has no"),
        ("disturbance.worlds=2.5", "disturbance.worlds=2.5 must be a whole number of 1 or more"),
        ("disturbance.episodes=2.5", "disturbance.episodes=2.5 must be a whole number of 1 or more"),
        ("disturbance.episodes=null", "disturbance.episodes=None must be a whole number of 1 or more"),
        ("disturbance.practice.worlds=1.5", "disturbance.practice.worlds=1.5 must be a whole number"),
        ("disturbance.practice.rollout=many", "disturbance.practice.rollout=many must be a number"),
        ("disturbance.most=far", "disturbance.most=far must be a finite number"),
        ("disturbance.kinds=3", "unknown kind of push '3'"),
    ],
)
def test_settings_of_no_use_are_told_by_their_key(
    slid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str, match: str
) -> None:
    assert cli.run(["evaluate", f"run={slid}", f"run_dir={tmp_path / 'e'}", *QUICK, word]) == 2
    assert match in capsys.readouterr().err


def test_a_world_that_is_evaluated_alone_cannot_be_many(
    slid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["evaluate", f"run={slid}", f"run_dir={tmp_path / 'e'}", "+env.num_worlds=4"]) == 2
    assert "env.num_worlds=4 has no use here" in capsys.readouterr().err
