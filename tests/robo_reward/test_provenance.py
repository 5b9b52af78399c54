"""What a run says of its start's use of the simulator, by the folder that the start lies in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from robo_reward.errors import UserError
from robo_reward.provenance import oracle_before


def run_with(folder: Path, **said: Any) -> Path:
    (folder / "policy" / "pretrained_model").mkdir(parents=True)
    (folder / "policy" / "base" / "pretrained_model").mkdir(parents=True)
    (folder / "config.yaml").touch()
    (folder / "summary.json").write_text(json.dumps(said))
    return folder


@pytest.mark.parametrize("below", ["", "policy", "policy/pretrained_model", "policy/base/pretrained_model"])
def test_the_run_around_a_policy_is_asked(tmp_path: Path, below: str) -> None:
    run = run_with(tmp_path / "run", used_env_reward=False, used_env_success=True)
    assert oracle_before(str(run / below)) == (False, True)


def test_what_lies_in_no_run_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text("[]")  # somebody else's
    (tmp_path / "model").mkdir()
    assert oracle_before(str(tmp_path / "model")) == oracle_before("lerobot/smolvla_base") == (False, False)
    assert oracle_before(None) == (False, False)


def test_a_damaged_summary_is_told(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run")
    (run / "summary.json").write_text("[]")
    with pytest.raises(UserError, match="is damaged"):
        oracle_before(str(run))
