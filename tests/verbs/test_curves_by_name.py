"""Curves of a reward that needs no fitting, by its name: its cameras are the data's, what it counts is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pyarrow.parquet as pq
import pytest

from robo_reward.contract_tests import moving_square
from robo_reward.data.datasets import write_dataset
from robo_reward.errors import UserError
from robo_reward.verbs import curves

JUDGES = Path(__file__).parents[1] / "reward_models"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(JUDGES))
    judge_server: Any = import_module("judge_server")
    made = judge_server.JudgeServer()
    made.tools = judge_server
    yield made
    made.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_dataset([moving_square(0, 12)], tmp_path / "data", images=True)
    return tmp_path / "data"


def compose(tmp_path: Path, *words: str) -> Any:
    with hydra.initialize_config_module("robo_reward.configs", version_base="1.3"):
        return hydra.compose("curves", [f"run_dir={tmp_path / 'out'}", "format=parquet", *words])


def test_a_judge_by_name_draws_what_it_sees_and_counts(tmp_path: Path, data: Path, server: Any) -> None:
    server.script.append(server.tools.says("who knows"))
    words = (f"data={data}", "reward_model=vlm_judge", "reward_model.prefixes=3", "reward_model.stride=1")
    curves.run(compose(tmp_path, *words, f"reward_model.backend.url={server.url}"))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["reward_model"], summary["parse_failures"], summary["fallbacks"]) == ("vlm_judge", 1, 0)
    table = pq.read_table(tmp_path / "out" / "curves.parquet").to_pylist()
    assert {row["model"] for row in table} == {"vlm_judge"}
    progress = np.asarray([row["progress"] for row in table])
    assert progress[-1] > progress[0] + 0.5, "the square went right"
    config = (tmp_path / "out" / "config.yaml").read_text()
    assert "front" in config, "the cameras that were chosen are on record"


def test_what_cannot_be_named(tmp_path: Path, data: Path, server: Any) -> None:
    for words, said in (
        (("reward_model=progress",), "reward_model=progress is not fitted yet"),
        (("reward_model=env_dense",), "simulator's own signal"),
        (("reward_model=none",), "'none' has no opinion"),
        (("reward_model=gvl", "views=[side]", f"reward_model.backend.url={server.url}"), "unknown view"),
        ((), "the NAME of one that needs no fitting"),
    ):
        with pytest.raises(UserError, match=said):
            curves.run(compose(tmp_path, f"data={data}", *words))
    assert not (tmp_path / "out").exists()
