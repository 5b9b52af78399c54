"""Words of the command line: what hydra cannot read is quoted, and what cannot be meant is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robo_reward import cli
from robo_reward.cli import quoting

WORD: Any = "abc"
"""What code takes for a number."""


@pytest.mark.parametrize(
    ("word", "read"),
    [
        ("seed=1", "seed=1"),
        ("env.task=drawer-open", "env.task=drawer-open"),
        ("views=[a,b]", "views=[a,b]"),
        ("views=[a,b", "views=[a,b"),  # a slip in a list stays one
        ("~judge", "~judge"),
        ("--cfg", "--cfg"),
        ("run=runs/a=b", "run='runs/a=b'"),
        ("run=runs/grün (2)", "run='runs/grün (2)'"),
        ("run=it's", "run='it\\'s'"),
        ("run=~/runs/x", "run=/somewhere/runs/x"),
        ("seed=1,2", "seed=1,2"),
    ],
)
def test_values_that_hydra_cannot_read_are_quoted(word: str, read: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert quoting.readable(word) == read


@pytest.mark.parametrize("words", [["--rollouts=3"], ["--hlep"], ["--config-dir"], ["seed=1", "-q"]])
def test_flags_that_do_not_exist_are_told_in_our_words(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", *words]) == 2
    told = capsys.readouterr().err
    assert told.startswith("robo-reward: ")
    assert words[-1] in told
    assert told.endswith("Settings have no dashes (seed=1); robo-reward train --help lists them\n")


def test_a_path_with_any_characters_reaches_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["evaluate", "run=runs/grün (2)=x"]) == 2
    assert "run='runs/grün (2)=x' is not the folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["device=cuda"], "device=cuda: torch finds 0 such devices on this machine; use device=cpu"),
        (["device=gpu"], "device=gpu must be cpu, cuda, cuda:0 or mps"),
    ],
)
def test_a_device_that_is_not_there_is_refused(
    words: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert cli.run(["train", *words]) == 2
    assert told in capsys.readouterr().err


def test_a_gpu_that_nothing_would_use_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert cli.run(["train", "device=cuda"]) == 2
    assert "neither this learner nor this reward runs on a GPU" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["reward_model.stride=x"],
            "reward_model.stride=x must be a number (the default is 3)",
        ),
        (["experiment=quadruped", "hook=disturber", "hook.eta=big"], "hook.eta=big must be a number"),
    ],
)
def test_a_word_in_a_numbers_place_is_told(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.run(["train", *words, f"run_dir={tmp_path / 'run'}"]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["collect", "demos=abc"], "demos=abc must be a whole number of 1 or more"),
        (["collect", "demos=1.5"], "demos=1.5 must be a whole number of 1 or more"),
        (["collect", "seed=abc"], "seed=abc must be a whole number of 0 or more"),
        (["collect", "env=gym", "env.horizon=abc"], "env.horizon=abc must be a whole number of 1 or more"),
        (["doctor", "width=abc"], "width=abc must be a number (the default is 128)"),
    ],
)
def test_a_word_in_a_numbers_place_is_told_by_every_verb(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(words) == 2
    said = capsys.readouterr().err
    assert f"robo-reward: {told}\n" in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("verb", "words", "error", "told"),
    [
        ("collect", ["noise=abc"], lambda: float("abc"), "noise=abc must be a number (the default is 0.0)"),
        (
            "fit",
            ["held_out=abc"],
            lambda: 1 - WORD,
            "held_out=abc must be a number (the default is 0.25)",
        ),
        (
            "train",
            ["learner=ppo", "learner.n_steps=abc"],
            lambda: WORD > 1,
            "learner.n_steps=abc must be a number (the default is 2048)",
        ),
        ("train", ["env.task=null"], lambda: None.lower(), "env.task=null must be something (the default is drawer-"),
    ],
)
def test_what_code_stumbles_over_is_traced_to_the_word(
    verb: str,
    words: list[str],
    error: Callable[[], Any],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cli.program, "_load", lambda name: lambda cfg: error())
    assert cli.run([verb, *words]) == 2
    assert told in capsys.readouterr().err
    assert cli.run([verb]) in (1, 2)
    assert "Traceback" in capsys.readouterr().err, "without the word it is a fault"


def test_a_place_that_is_none_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("no folder")
    assert cli.run(["train", f"run_dir={tmp_path / 'file' / 'run'}"]) == 2
    assert "Not a directory; give a folder that you may write to" in capsys.readouterr().err


def test_one_camera_is_still_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", "env.views=corner", f"run_dir={tmp_path / 'run'}"]) == 2
    assert "views=corner must be a list of cameras: views=[corner]" in capsys.readouterr().err


def test_a_folder_in_config_dir_that_hides_a_key_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    assert cli.run(["audit", "--config-dir", str(tmp_path), f"data={tmp_path / 'data'}"]) == 2
    assert "a folder named 'data' in --config-dir" in capsys.readouterr().err
