"""Annotated keyframes: kept in a dataset where LeRobot keeps its sub-tasks, and read by fit."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fit_episodes import demonstration

from robo_reward import cli
from robo_reward.data.datasets import read_dataset, write_dataset
from robo_reward.reward_models.step_prm import hop_episodes
from robo_reward.reward_models.step_prm.hop_learning import HopLearning
from robo_reward.trace import Trace

WORDS = ["reward_model=step_prm", "reward_model.keyframes=annotated", "reward_model.fit.steps=2"]


def annotated(seed: int, *steps: int) -> Trace:
    return replace(demonstration(seed=seed), meta={f"keyframe{k}": float(s) for k, s in enumerate(steps)})


def annotate(folder: Path, **columns: list[Any]) -> None:
    """Puts columns into meta/episodes as LeRobot's own tool does, through pandas."""
    (path,) = (folder / "meta/episodes").glob("*/*.parquet")
    rows = pq.read_table(path).to_pandas()
    for name, cells in columns.items():
        rows[name] = cells
    rows.to_parquet(path, engine="pyarrow", compression="snappy")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four annotated demonstrations and one that is not."""
    folder = tmp_path_factory.mktemp("keyframes") / "given"
    write_dataset([*(annotated(k, 5 + k, 12) for k in range(4)), demonstration(seed=9)], folder, images=True)
    return folder


def test_keyframes_survive_a_dataset_and_are_lerobots_subtasks(given: Path) -> None:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    assert [trace.keyframes for trace in read_dataset(given)] == [[5, 12], [6, 12], [7, 12], [8, 12], []]
    dataset = LeRobotDataset("local/given", root=given)
    assert len(dataset) == 5 * 24
    episodes = dataset.meta.episodes
    assert episodes is not None
    row = episodes[1]
    assert (row["subtask_start_frames"], row["subtask_end_frames"]) == ([0, 6, 12], [6, 12, 23])
    assert row["subtask_end_times"] == pytest.approx([0.6, 1.2, 2.3])
    assert len(row["subtask_names"]) == 3
    assert episodes[4]["subtask_end_frames"] is None


def test_keyframes_are_written_as_frames_of_what_is_kept(tmp_path: Path) -> None:
    trace = annotated(0, 0, 7, 12, 23, 99).every(4)
    write_dataset([trace], tmp_path / "thin", images=True)
    assert read_dataset(tmp_path / "thin")[0].keyframes == [2, 3], "steps 7 and 12 of 0, 4, 8, ... are frames 2 and 3"
    write_dataset([trace], tmp_path / "held", images=True, hold=True)
    assert read_dataset(tmp_path / "held")[0].keyframes == [7, 12]


def test_fit_cuts_demonstrations_where_they_are_annotated(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found: list[list[int]] = []

    def find(*words: Any) -> list[list[int]]:
        made = honest(*words)
        found.extend(made)
        return made

    honest = hop_episodes.find_keyframes
    monkeypatch.setattr(hop_episodes, "find_keyframes", find)
    fit = ["fit", *WORDS, "reward_model.refit_steps=2", f"data={given}", "audit=none"]
    assert cli.run([*fit, "demos=4", f"run_dir={tmp_path / 'run'}"]) == 0
    assert found
    assert {tuple(marks[:-1]) for marks in found} <= {(0, 5 + k, 12) for k in range(4)}
    assert cli.run([*fit, "held_out=0.0", f"run_dir={tmp_path / 'other'}"]) == 2
    assert "subtask_end_frames" in capsys.readouterr().err


def test_the_annotations_of_lerobots_tool_are_read(right: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tool"
    shutil.copytree(right, folder)
    whole = [[23]] * 4
    annotate(folder, subtask_end_frames=whole, sparse_subtask_end_frames=whole)
    assert [trace.keyframes for trace in read_dataset(folder)] == [[]] * 4
    annotate(folder, dense_subtask_end_frames=[[4, 9, 24], [5, 24], None, [6, 6, 20]])
    assert [trace.keyframes for trace in read_dataset(folder)] == [[4, 9], [5], [], [6]]


@pytest.mark.parametrize("cell", [[9, 4, 23], [4, 30, 40], [-1, 23], ["a", "b"], "soon", 5])
def test_annotations_that_are_none_are_left_out_with_a_warning(right: Path, tmp_path: Path, cell: Any) -> None:
    folder = tmp_path / "bad"
    shutil.copytree(right, folder)
    (path,) = (folder / "meta/episodes").glob("*/*.parquet")
    table = pq.read_table(path)
    pq.write_table(table.append_column("subtask_end_frames", pa.array([cell] * 4)).replace_schema_metadata(None), path)
    with pytest.warns(UserWarning, match=r"subtask_end_frames of episode 0 .* not frames 0 to 23"):
        traces = read_dataset(folder)
    assert not any(trace.keyframes for trace in traces)


def test_a_policys_own_successes_are_left_out_where_nobody_annotated_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from robo_reward.reward_models.step_prm.compact_hops import CompactHops
    from robo_reward.reward_models.step_prm.hop_training import HopFit

    backend, seen = CompactHops(["front"]), []
    monkeypatch.setattr(backend, "train", lambda episodes, settings: seen.append(len(episodes)) or 0.0)
    own = [replace(demonstration(seed=5), source="policy")]
    HopLearning(backend, HopFit(), "annotated", 3).fit([annotated(0, 7)], [], 0, own)
    HopLearning(backend, HopFit(), "none", 3).fit([annotated(0, 7)], [], 0, own)
    assert seen == [1, 2]
