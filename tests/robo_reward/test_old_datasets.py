"""Datasets of codebase version 2.1 are read through LeRobot's own converter, and stay as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from robo_reward.contract_tests import moving_square
from robo_reward.data.datasets import read_dataset, write_dataset
from robo_reward.errors import UserError


def older(new: Path, old: Path) -> Path:
    """The dataset in ``new`` in the layout of version 2.1: a file an episode, metadata as lines of JSON."""
    info: dict[str, Any] = json.loads((new / "meta" / "info.json").read_text())
    (old / "meta").mkdir(parents=True)
    (old / "data" / "chunk-000").mkdir(parents=True)
    table = pq.read_table(next((new / "data").rglob("*.parquet")))
    tasks = pq.read_table(new / "meta" / "tasks.parquet").to_pylist()
    names = [{"task_index": t["task_index"], "task": t.get("task", t.get("__index_level_0__"))} for t in tasks]
    episodes, stats = [], []
    for index in range(info["total_episodes"]):
        rows = table.filter(np.asarray(table["episode_index"]) == index)
        pq.write_table(rows, old / "data" / "chunk-000" / f"episode_{index:06d}.parquet")
        episodes.append({"episode_index": index, "tasks": [names[0]["task"]], "length": rows.num_rows})
        zeros = {name: [0.0, 0.0] for name in ("min", "max", "mean", "std")}
        stats.append({"episode_index": index, "stats": {"observation.state": zeros | {"count": [rows.num_rows]}}})
    for name, rows in (("tasks", names), ("episodes", episodes), ("episodes_stats", stats)):
        (old / "meta" / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    for key in ("data_files_size_in_mb", "video_files_size_in_mb"):
        info.pop(key, None)
    info |= {"codebase_version": "v2.1", "total_chunks": 1, "total_videos": 0, "chunks_size": 1000}
    info["data_path"] = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
    (old / "meta" / "info.json").write_text(json.dumps(info | {"video_path": None}))
    return old


def test_the_same_episodes_come_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    write_dataset([moving_square(k, 6) for k in range(3)], tmp_path / "new", images=True)
    old = older(tmp_path / "new", tmp_path / "old")
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    expected, got = read_dataset(tmp_path / "new"), read_dataset(old)
    assert len(got) == 3
    for one, other in zip(expected, got, strict=True):
        assert one.task == other.task
        assert np.array_equal(one.state, other.state)
        assert np.array_equal(one.action, other.action)
        assert np.array_equal(one.frames["front"], other.frames["front"])
    assert {path: path.read_bytes() for path in old.rglob("*") if path.is_file()} == before
    (made,) = (tmp_path / "home" / "robo-reward" / "datasets").iterdir()
    stamp = (made / "meta" / "info.json").stat().st_mtime_ns
    read_dataset(old)
    assert (made / "meta" / "info.json").stat().st_mtime_ns == stamp, "converted once"


def test_what_the_converter_does_not_accept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    write_dataset([moving_square(0, 6)], tmp_path / "new", images=True)
    old = older(tmp_path / "new", tmp_path / "old")
    (old / "meta" / "episodes.jsonl").write_text("{")
    with pytest.raises(UserError, match=r"LeRobot could not convert the v2\.1 dataset"):
        read_dataset(old)
    assert not list((tmp_path / "home" / "robo-reward" / "datasets").iterdir()), "nothing half"
