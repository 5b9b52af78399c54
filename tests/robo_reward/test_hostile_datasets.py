"""Datasets whose metadata are damaged or hostile: refused by name, and no file outside of them is touched."""

from __future__ import annotations

import io
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from robo_reward.audit_record import read_record
from robo_reward.build import load_reward_model
from robo_reward.contract_tests import moving_square
from robo_reward.data.datasets import read_dataset, write_dataset
from robo_reward.errors import UserError
from robo_reward.fitting.splits import read_split
from robo_reward.runs.checkpoint import load_state, save_state
from robo_reward.runs.hub import is_hub_id, push_model


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "square"
    traces = [moving_square(k) for k in range(2)]
    write_dataset([replace(t, success=np.arange(len(t.state)) >= len(t) - 1) for t in traces], folder)
    return folder


def edited(written: Path, folder: Path, **changes: Any) -> Path:
    shutil.copytree(written, folder)
    path = folder / "meta" / "info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


VIEW = "observation.images.front"


def _png(size: int) -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (size, size)).save(held, "PNG")
    return held.getvalue()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (VIEW, {"bytes": b"no picture", "path": None}, r"front of episode 0 .*, frame 3, holds no picture"),
        (VIEW, None, r"frame 3, holds no picture that can be decoded \(TypeError\)"),
        (VIEW, {"bytes": _png(9), "path": None}, r"pictures of several sizes, 48x48 and 9x9 at frame 3"),
        ("observation.state", None, r"observation.state of episode 0 .* is damaged"),
        ("observation.state", [0.0], r"observation.state of episode 0 .* is damaged"),
        ("task_index", 7, r"task_index of episode 0 .* names task 7"),
        (VIEW, ..., r"has no column 'observation.images.front', which meta/info.json names: the dataset is damaged$"),
    ],
)
def test_damaged_cells_are_refused_with_their_episode(tmp_path: Path, key: str, value: Any, message: str) -> None:
    write_dataset([moving_square(0)], tmp_path / "data", images=True)
    (path,) = (tmp_path / "data" / "data").rglob("*.parquet")
    table = pq.read_table(path)
    cells = table[key].to_pylist()
    if value is ...:
        table = table.drop_columns([key])
    else:
        cells[3 if key != "task_index" else 0] = value
        kind = pa.list_(pa.float32()) if key == "observation.state" else table.schema.field(key).type
        table = table.set_column(table.column_names.index(key), key, pa.array(cells, kind))
    pq.write_table(table, path)
    with pytest.raises(UserError, match=message):
        read_dataset(tmp_path / "data")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": 0}, r"fps is 0, which is no number above 0"),
        ({"fps": "x"}, r"fps is 'x'"),
        ({"fps": float("nan")}, r"fps is nan"),
        ({"total_episodes": None}, r"total_episodes is None"),
        ({"features": [1]}, r"features is no mapping"),
        ({"features": {"action": {"dtype": "float32", "shape": None}}}, r"'action' has no dtype and shape"),
        ({"features": {"action": {"shape": [-1]}}}, r"'action' has no dtype and shape"),
        ({"data_path": "{nope}"}, r"data_path is '\{nope\}'"),
        ({"data_path": "{chunk_index.__class__}"}, r"names more than chunk_index"),
        ({"video_path": 3}, r"video_path is 3"),
        ({"data_path": "../../secret.parquet"}, r"'../../secret.parquet', which lies outside of it"),
        ({"data_path": "/etc/passwd"}, r"'/etc/passwd', which lies outside of it"),
        ({"video_path": "videos/../../{video_key}.mp4"}, r"lies outside of it"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_metadata_that_make_no_sense(changes: dict[str, Any], message: str, written: Path, tmp_path: Path) -> None:
    assert len(read_dataset(written)) == 2
    with pytest.raises(UserError, match=message):
        read_dataset(edited(written, tmp_path / "copy", **changes))


def test_an_episode_that_lies_nowhere(written: Path, tmp_path: Path) -> None:
    shutil.copytree(written, tmp_path / "copy")
    file = next((tmp_path / "copy" / "meta" / "episodes").rglob("*.parquet"))
    table = pq.read_table(file)
    pq.write_table(table.drop_columns(["data/file_index"]), file)
    with pytest.raises(UserError, match="nothing says where data of episode 0 lies"):
        read_dataset(tmp_path / "copy")
    index = table.schema.get_field_index("data/file_index")
    pq.write_table(table.set_column(index, "data/file_index", pa.nulls(table.num_rows)), file)
    with pytest.raises(UserError, match="nothing says where data of episode 0 lies"):
        read_dataset(tmp_path / "copy")


def test_views_of_a_dataset_without_pictures(written: Path, tmp_path: Path) -> None:
    features = json.loads((written / "meta" / "info.json").read_text())["features"]
    blind = edited(written, tmp_path / "copy", features={k: v for k, v in features.items() if "images" not in k})
    assert len(read_dataset(blind)) == 2
    with pytest.raises(UserError, match="has no pictures, so there is no view 'front'"):
        read_dataset(blind, views=["front"])


@pytest.mark.parametrize("text", ["[" * 200_000, "[]", '"pass"', '{"verdict": "pass", "reasons": 3}', "\udcff"])
def test_damaged_records_and_splits(text: str, tmp_path: Path) -> None:
    for name in ("audit.json", "split.json"):
        (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=r"is damaged .*audit again"):
        read_record(tmp_path)
    with pytest.raises(UserError, match="is no split of videos"):
        read_split(tmp_path)


def test_a_record_that_is_no_file_is_not_taken_for_none(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    (tmp_path / "audit.json").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is damaged"):
        read_record(tmp_path)


def test_states_that_never_end_are_not_read(tmp_path: Path) -> None:
    save_state(tmp_path, "model", {"weights": np.zeros(3)})
    arrays = tmp_path / "model.arrays.safetensors"
    for file in (arrays, tmp_path / "model.json"):
        held = file.read_bytes()
        file.unlink()
        os.mkfifo(file)
        with pytest.raises(UserError, match="is no plain file"):
            load_state(tmp_path, "model")
        file.unlink()
        file.write_bytes(held)
    assert (load_state(tmp_path, "model")["weights"] == 0).all()


def test_a_hub_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx
    from huggingface_hub import HfApi

    def fail(*args: Any, **kwargs: Any) -> None:
        raise httpx.ConnectError("Name or service not known")

    monkeypatch.setattr(HfApi, "create_repo", fail)
    (tmp_path / "model.yaml").write_text("_target_: x\n")
    with pytest.raises(UserError, match=r"is saved, but was not pushed to 'me/mine': Name or service not known"):
        push_model(tmp_path, "me/mine")


def test_what_a_run_does_not_hold_is_not_looked_for_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert is_hub_id("mine/reward_model"), "a folder of that name alone says nothing"
    (tmp_path / "mine" / "config.yaml").write_text("seed: 0\n")
    assert not is_hub_id("mine/reward_model")
    with pytest.raises(UserError, match=r"holds no reward model .* name the reward itself"):
        load_reward_model(Path("mine/reward_model"))
