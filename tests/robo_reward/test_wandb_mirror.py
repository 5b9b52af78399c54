"""Metrics in Weights & Biases: what an offline run holds, one run however often it is resumed, clear refusals."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from robo_reward.errors import MissingExtra, UserError
from robo_reward.runs.folder import RunFolder

wandb = pytest.importorskip("wandb")


def records(file: Path) -> list[Any]:
    """What one of W&B's own files holds, read with W&B's own reader."""
    from wandb.proto.wandb_internal_pb2 import Record
    from wandb.sdk.internal.datastore import DataStore

    store, found = DataStore(), []
    store.open_for_scan(str(file))
    while (data := store.scan_data()) is not None:
        found.append(Record())
        found[-1].ParseFromString(data)
    return found


def rows(folder: Path, runs: int) -> list[dict[str, Any]]:
    """The rows of all W&B runs in a run folder, once W&B's own process has written their ends."""
    deadline = time.monotonic() + 60
    while True:
        files = sorted(folder.glob("wandb/offline-run-*/*.wandb"))
        held = [records(file) for file in files]
        if len(files) == runs and all(any(r.HasField("exit") for r in one) for one in held):
            break
        assert time.monotonic() < deadline, f"W&B wrote {files} and did not end them"
        time.sleep(0.1)
    seen = [{".".join(i.nested_key): i.value_json for i in r.history.item} for one in held for r in one]
    return [{k: json.loads(v) for k, v in row.items() if not k.startswith("_")} for row in seen if row]


def config(mode: str | None) -> dict[str, Any]:
    return {"seed": 0, "wandb": mode}


def test_an_offline_run_holds_the_numbers_of_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with RunFolder.create("train", "x", config("offline"), tmp_path / "run") as folder:
        folder.log(5, {"loss": 0.5, "note": "words stay here"})
        folder.log(9, {"loss": 0.25})
    assert rows(tmp_path / "run", 1) == [{"step": 5, "loss": 0.5}, {"step": 9, "loss": 0.25}]
    logged = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["loss"] for row in logged] == [0.5, 0.25]


def test_a_resumed_run_goes_on_under_the_same_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with RunFolder.create("train", "x", config("offline"), tmp_path / "run") as folder:
        folder.log(1, {"loss": 1.0})
        with folder.checkpoint(1):
            pass
        folder.finish("interrupted")
    first = (tmp_path / "run" / "wandb" / "id").read_text()
    with RunFolder.create("train", "x", config("offline"), tmp_path / "run", resume=True) as folder:
        folder.log(2, {"loss": 0.5})
    assert (tmp_path / "run" / "wandb" / "id").read_text() == first
    assert {path.name.split("-")[3] for path in (tmp_path / "run" / "wandb").glob("offline-run-*")} == {first}
    assert [row["step"] for row in rows(tmp_path / "run", 2)] == [1, 2]


def test_without_it_there_is_no_trace_of_it(tmp_path: Path) -> None:
    with RunFolder.create("train", "x", config(None), tmp_path / "run") as folder:
        folder.log(1, {"loss": 1.0})
    assert not (tmp_path / "run" / "wandb").exists()


def test_online_needs_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(UserError, match=r"wandb login.*wandb=offline"):
        RunFolder.create("train", "x", config("online"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_other_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="wandb=sometimes must be null, offline or online"):
        RunFolder.create("train", "x", config("sometimes"), tmp_path / "run")


def test_its_absence_says_the_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(MissingExtra, match=r"robo-reward\[wandb\]"):
        RunFolder.create("train", "x", config("offline"), tmp_path / "run")
