"""LeRobotDataset v3 out and in: numbers exact, pictures nearly so, every damaged dataset named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_reward.data import dataset_writer
from robo_reward.data.dataset_writer import write_dataset
from robo_reward.data.datasets import read_dataset
from robo_reward.errors import UserError
from robo_reward.trace import Trace


def picture(step: int, phase: int) -> np.ndarray:
    """A 64 px picture with sharp coloured edges, as rendered ones have, that tells its step."""
    frame = np.full((64, 64, 3), (90, 110, 130), np.uint8)
    frame[20:44, (3 * step + phase) % 48 : (3 * step + phase) % 48 + 16] = (220, 40, 30)
    frame[50:, :, 1] = 40 + 5 * step
    return frame


def trace(steps: int, seed: int = 0, task: str = "open the drawer") -> Trace:
    rng = np.random.default_rng(seed)
    frames = {v: np.stack([picture(s, p) for s in range(steps + 1)]) for v, p in (("corner", 0), ("wrist", 7))}
    return Trace(
        task=task,
        state=rng.normal(size=(steps + 1, 5)).astype(np.float32),
        action=rng.normal(size=(steps, 4)).astype(np.float32),
        frames=frames,
        frame_steps=np.arange(steps + 1),
        fps=20.0,
        source="demonstration",
        success=np.arange(steps + 1) >= steps - 3,
        reward=np.arange(steps, dtype=np.float32),
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Trace], Path]:
    """Two episodes of 12 and 17 steps, two views, as video."""
    traces = [trace(12, 1), trace(17, 2, "close the drawer")]
    folder = tmp_path_factory.mktemp("data") / "drawer"
    write_dataset(traces, folder)
    return traces, folder


def copied(written: tuple[list[Trace], Path], tmp_path: Path) -> Path:
    shutil.copytree(written[1], tmp_path / "copy")
    return tmp_path / "copy"


def edit_info(folder: Path, **changes: object) -> None:
    path = folder / "meta" / "info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_round_trip(written: tuple[list[Trace], Path]) -> None:
    traces, folder = written
    for before, after in zip(traces, read_dataset(folder), strict=True):
        steps = len(before) - 1
        assert (len(after), after.task, after.fps) == (steps, before.task, 20.0)
        np.testing.assert_array_equal(after.state, before.state[:-1])
        np.testing.assert_array_equal(after.action, before.action[:-1])
        assert before.success is not None
        np.testing.assert_array_equal(after.success, before.success[:-1])
        np.testing.assert_array_equal(after.frame_steps, np.arange(steps + 1))
        for view, frames in after.frames.items():
            error = np.abs(frames.astype(float) - before.frames[view][:-1]).mean((1, 2, 3))
            assert error.max() < 4, f"{view}: H.264 4:4:4 at crf 6 should keep 64 px pictures"


def test_lerobot_reads_it(written: tuple[list[Trace], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    traces, folder = written
    dataset = LeRobotDataset("local/drawer", root=folder, video_backend="pyav")
    assert (len(dataset), dataset.num_episodes, dataset.fps) == (12 + 17, 2, 20)
    rows: Any = dataset  # LeRobot leaves its rows to torch's untyped Dataset
    frame = rows[12 + 5]
    assert frame["task"] == "close the drawer"
    np.testing.assert_array_equal(frame["action"], traces[1].action[5])
    np.testing.assert_array_equal(frame["observation.state"], traces[1].state[5])
    assert [bool(rows[i]["next.success"]) for i in range(12)] == [False] * 8 + [True] * 4
    assert float(frame["next.reward"]) == 5.0
    shown = frame["observation.images.wrist"].numpy().transpose(1, 2, 0) * 255
    assert np.abs(shown - traces[1].frames["wrist"][5]).mean() < 4


def test_choices(written: tuple[list[Trace], Path]) -> None:
    traces, folder = written
    (only,) = read_dataset(folder, views=["wrist"], episodes=[1], stride=5)
    assert list(only.frames) == ["wrist"]
    assert only.frame_steps.tolist() == [0, 5, 10, 15, 16]
    wanted = traces[1].frames["wrist"][only.frame_steps]
    assert np.abs(only.frames["wrist"].astype(float) - wanted).mean() < 4
    assert [dict(t.frames) for t in read_dataset(folder, views=[])] == [{}, {}]


def test_images_are_exact_and_strided_traces_keep_their_rate(tmp_path: Path) -> None:
    before = replace(trace(11), success=None).every(5)
    write_dataset([before], tmp_path / "data", images=True)
    (after,) = read_dataset(tmp_path / "data")
    assert after.fps == 4.0  # 20 Hz, every 5th
    assert after.frames["corner"].shape == (3, 64, 64, 3)  # steps 0, 5, 10; no action follows 11
    np.testing.assert_array_equal(after.frames["corner"], before.frames["corner"][:3])
    np.testing.assert_array_equal(after.state, before.state[[0, 5, 10]])
    assert after.success is not None
    assert after.success.tolist() == [False, False, True]
    (unannotated,) = read_dataset(tmp_path / "data", assume_success_at_end=False)
    assert unannotated.success is None


def test_success_by_the_last_action_is_kept(tmp_path: Path) -> None:
    last = np.arange(7) == 6
    write_dataset([replace(trace(6), success=last, frames={}, frame_steps=np.arange(0))], tmp_path / "data")
    (after,) = read_dataset(tmp_path / "data")
    assert after.success_step == 5


def test_writing_refuses(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least one"):
        write_dataset([], tmp_path / "data")
    with pytest.raises(UserError, match="same keys and shapes"):
        write_dataset([trace(4), replace(trace(4), success=None)], tmp_path / "data")
    (tmp_path / "data").mkdir()
    with pytest.raises(UserError, match="exists already"):
        write_dataset([trace(4)], tmp_path / "data")
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Iterator[object]:
        raise OSError(28, "No space left on device")
        yield

    monkeypatch.setattr(dataset_writer, "_frames", full)
    with pytest.raises(OSError, match="No space"):
        write_dataset([trace(4)], tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_not_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="not a LeRobotDataset"):
        read_dataset(tmp_path)
    with pytest.raises(UserError, match="no dataset folder"):
        read_dataset(tmp_path / "nowhere" / "at" / "all")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        read_dataset(tmp_path / "file")


def test_damaged_datasets(written: tuple[list[Trace], Path], tmp_path: Path) -> None:
    folder = copied(written, tmp_path)
    with pytest.raises(UserError, match=r"unknown view .*'corner'"):
        read_dataset(folder, views=["corne"])
    with pytest.raises(UserError, match="no episode 7; it has 0 to 1"):
        read_dataset(folder, episodes=[7])
    (video,) = (folder / "videos" / "observation.images.wrist").rglob("*.mp4")
    video.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="cannot be decoded"):
        read_dataset(folder)
    video.unlink()
    with pytest.raises(UserError, match="incomplete"):
        read_dataset(folder)
    assert len(read_dataset(folder, views=["corner"])) == 2
    next((folder / "data").rglob("*.parquet")).write_bytes(b"nonsense")
    with pytest.raises(UserError, match="parquet"):
        read_dataset(folder, views=["corner"])


def test_metadata_that_do_not_fit(written: tuple[list[Trace], Path], tmp_path: Path) -> None:
    folder = copied(written, tmp_path)
    features = json.loads((folder / "meta" / "info.json").read_text())["features"]
    edit_info(folder, features={k: v for k, v in features.items() if k != "action"})
    with pytest.raises(UserError, match=r"lacks the key 'action'; it has .*views: corner, wrist"):
        read_dataset(folder)
    edit_info(folder, total_episodes=0)
    with pytest.raises(UserError, match="zero episodes"):
        read_dataset(folder)
    edit_info(folder, codebase_version="v2.1")
    with pytest.raises(UserError, match="convert_dataset_v21_to_v30"):
        read_dataset(folder)
    (folder / "meta" / "info.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        read_dataset(folder)
