"""How many demonstrations lie with a run is in its notes, also where an earlier start of it wrote them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from robo_reward.contract_tests import moving_square
from robo_reward.data.datasets import write_dataset
from robo_reward.report.training_report import _write_episodes
from robo_reward.runs.summary import Summary


def job(folder: Path, count: int) -> Any:
    """As much of a job as writing takes."""
    summary = Summary(verb="train")
    demonstrations = [moving_square(k, 4) for k in range(count)]
    return SimpleNamespace(run=SimpleNamespace(path=folder, summary=summary), demonstrations=demonstrations)


@pytest.mark.parametrize("resumed", [False, True])
def test_a_resumed_run_notes_them_too(tmp_path: Path, resumed: bool) -> None:
    if resumed:
        write_dataset(job(tmp_path, 2).demonstrations, tmp_path / "demonstrations")
    made = job(tmp_path, 2)
    _write_episodes(made, {})
    assert made.run.summary.notes == {"demonstrations_kept": 2}


def test_a_run_without_demonstrations_notes_none(tmp_path: Path) -> None:
    made = job(tmp_path, 0)
    _write_episodes(made, {})
    assert made.run.summary.notes == {}
    assert not list(tmp_path.iterdir())
