"""Tables, pictures, videos and recordings say what the curves say; LeRobot's own code reads the RA-BC file."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from robo_reward.data.dataset_source import DatasetSource
from robo_reward.data.video import read_video
from robo_reward.errors import MissingExtra, UserError
from robo_reward.report import rerun_file
from robo_reward.report.curve import Curve, PricedEpisode, scaled_to
from robo_reward.report.curve_outputs import check_formats, write_outputs
from robo_reward.report.curve_tables import COLUMNS
from robo_reward.report.overlay import HEIGHT, overlay
from robo_reward.report.rabc_file import rabc_parquet

Make = Callable[..., PricedEpisode]


def simple(progress: list[float], steps: list[int]) -> Curve:
    return Curve(np.asarray(steps, np.int64), np.asarray(progress, np.float32))


def test_numbers_of_an_episode_by_hand() -> None:
    one, two = simple([0, 0.5, 1], [0, 2, 4]), simple([0.2, 0.6], [0, 3])
    both = PricedEpisode("e", "t", 10, np.arange(5), {}, {"one": one, "two": two}, success=False)
    # held values: 0 0 .5 .5 1 and .2 .2 .2 .6 .6
    assert both.disagreement == pytest.approx((0.2 + 0.2 + 0.3 + 0.1 + 0.4) / 5)
    assert both.final == pytest.approx(0.8)
    assert both.miss == pytest.approx(0.8)
    alone = replace(both, curves={"one": one}, success=None)
    assert (alone.disagreement, alone.miss, alone.final) == (None, None, 1)
    sure = replace(one, uncertainty=np.asarray([0.1, 0.2, 0.3], np.float32))
    assert replace(both, curves={"one": sure}).disagreement == pytest.approx(0.2)


def test_views_side_by_side() -> None:
    small, large = np.zeros((2, 10, 10, 3), np.uint8), np.full((2, 20, 30, 3), 9, np.uint8)
    shown = PricedEpisode("e", "t", 10, np.arange(2), {"a": small, "b": large}, {}).side_by_side()
    assert shown is not None
    assert shown.shape == (2, 20, 50, 3)
    assert (shown[:, :, :20] == 0).all()
    assert (shown[:, :, 20:] == 9).all()
    assert scaled_to(large, 20) is large


def test_csv_and_parquet_say_the_same(tmp_path: Path, make_episode: Make) -> None:
    episodes = [make_episode(0, {"a": 0.9, "b": 0.4}, True), make_episode(4, {"a": 0.1, "b": 0.2}, None)]
    write_outputs(tmp_path, ["csv", "parquet"], "", "", episodes)
    assert {p.name for p in tmp_path.iterdir()} == {"curves.csv", "curves.parquet"}
    table = pq.read_table(tmp_path / "curves.parquet")
    assert tuple(table.column_names) == COLUMNS
    rows = table.to_pylist()
    assert len(rows) == 2 * (21 + 11)
    second = [r for r in rows if r["episode_index"] == 4 and r["model"] == "b"]
    curve = episodes[1].curves["b"]
    np.testing.assert_array_equal(np.asarray([r["progress"] for r in second], np.float32), curve.progress)
    assert [r["step"] for r in second if r["milestone"]] == curve.milestones.tolist()
    assert {r["success"] for r in second} == {None}
    assert second[3]["seconds"] == second[3]["step"] / 30
    with open(tmp_path / "curves.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    for line, row in zip(lines, rows, strict=True):
        for name in ("progress", "gain", "claimed_success", "uncertainty"):
            assert np.float32(line[name]) == np.float32(row[name])
        assert int(line["step"]) == row["step"]
        assert line["task"] == "open the <drawer> & close it"


def test_pictures_and_videos(tmp_path: Path, make_episode: Make) -> None:
    episodes = [make_episode(i, {"a": 0.9, "b": 0.4}, True) for i in range(2)]
    write_outputs(tmp_path, ["png", "svg", "mp4"], "", "", episodes)
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {
        "curves.png", "strip-episode-0.png", "strip-episode-1.png", "curves.svg",
        "overlay-episode-0.mp4", "overlay-episode-1.mp4",
    }  # fmt: skip
    drawing = (tmp_path / "curves.svg").read_text()
    assert all(f">{word}</text>" in drawing for word in ("episode 0", "episode 1", "a", "b"))
    frames, fps = read_video(tmp_path / "overlay-episode-1.mp4")
    assert frames.shape == (21, HEIGHT, round(112 * HEIGHT / 48) + HEIGHT, 3)
    assert fps == pytest.approx(10)
    assert [round((f[HEIGHT // 2, 100, 0] - 30) / 10) for f in frames.astype(float)] == list(range(21))


def test_overlay_grows_with_each_model(make_episode: Make) -> None:
    episode = make_episode(0, {"a": 0.9, "b": 0.4}, None)
    frames = episode.side_by_side()
    assert frames is not None

    def drawn(curves: Mapping[str, Curve]) -> list[int]:
        shown = overlay(frames, episode.steps, curves)[:, :, -HEIGHT:]
        return [(panel < 250).any(-1).sum() for panel in shown]

    both, one = drawn(episode.curves), drawn({"a": episode.curves["a"]})
    assert both[-1] > both[10] > both[0]
    assert both[-1] > one[-1]


def test_rerun_recording(tmp_path: Path, make_episode: Make) -> None:
    pytest.importorskip("rerun", reason="rerun-sdk is not installed")
    from rerun.recording import load_recording

    episode = make_episode(3, {"a": 0.9}, True)
    write_outputs(tmp_path, ["rerun"], "", "", [episode])
    assert [p.name for p in tmp_path.iterdir()] == ["episode-3.rrd"]
    read = load_recording(tmp_path / "episode-3.rrd")
    entities = {str(c.entity_path) for c in read.schema().component_columns()}
    assert {"/views/corner", "/views/gripper", "/progress/a", "/hop/a", "/uncertainty/a", "/task"} <= entities
    chunks = [c.to_record_batch() for c in read.chunks() if str(c.entity_path) == "/progress/a"]
    batch = next(b for b in chunks if "Scalars:scalars" in b.schema.names)
    values = [v[0] for v in batch["Scalars:scalars"].to_pylist()]
    np.testing.assert_array_equal(np.asarray(values, np.float32), episode.curves["a"].progress)
    assert batch["step"].to_pylist() == episode.steps.tolist()


def test_without_rerun_the_install_line_is_said(
    tmp_path: Path, make_episode: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rerun", None)
    with pytest.raises(MissingExtra, match=r"pip install 'robo-reward\[rerun\]'"):
        rerun_file.write_rerun(tmp_path / "e.rrd", make_episode(0, {"a": 1.0}, None))
    assert list(tmp_path.iterdir()) == []


def dataset() -> DatasetSource:
    rows = [
        {"episode_index": 0, "length": 6, "dataset_from_index": 0},
        {"episode_index": 1, "length": 4, "dataset_from_index": 6},
    ]
    return DatasetSource("d", Path("."), {}, rows, {0: "t"})


def test_lerobot_reads_the_rabc_file(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    rabc = pytest.importorskip("lerobot.rewards.sarm.rabc", reason="lerobot[training] is not installed")
    # 0 .2 .4 .6 .8 1, and a failure that falls back: .3 .3 .1 0
    curves = [(1, simple([0.3, 0.3, 0.1, 0], [0, 1, 2, 3])), (0, simple([0, 0.4, 0.8, 1], [0, 2, 4, 5]))]
    (tmp_path / "sarm_progress.parquet").write_bytes(rabc_parquet(dataset(), curves, "mine"))
    table = pq.read_table(tmp_path / "sarm_progress.parquet")
    assert table.schema.metadata[b"reward_model_path"] == b"mine"
    assert table["index"].to_pylist() == list(range(10))
    assert table["frame_index"].to_pylist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3]
    np.testing.assert_allclose(table["progress_sparse"][:6], [0, 0.2, 0.4, 0.6, 0.8, 1], atol=1e-6)
    weights = rabc.RABCWeights(
        tmp_path / "sarm_progress.parquet", chunk_size=2, kappa=0.01, device=torch.device("cpu"), epsilon=0.0
    )
    assert weights.episode_boundaries == {0: {"start": 0, "end": 6}, 1: {"start": 6, "end": 10}}
    got, stats = weights.compute_batch_weights({"index": torch.tensor([0, 3, 6, 7])})
    # two frames on: +.4 and +.4 count in full, -.2 and -.3 not at all; LeRobot scales the batch to its size
    assert got.tolist() == [2, 2, 0, 0]
    assert stats["num_zero_weight"] == 2


@pytest.mark.parametrize(
    ("asked", "said"), [([], "writes nothing"), (["htlm"], "did you mean 'html'"), (["jpeg"], "unknown format")]
)
def test_formats(asked: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_formats(asked)
    assert check_formats(["csv", "html", "csv"]) == ("csv", "html")


def test_a_title_cannot_break_the_page(tmp_path: Path, make_episode: Make) -> Any:
    nasty: Any = replace(make_episode(0, {"</script><b>": 0.5}, None), task="</script><script>alert(1)</script>")
    write_outputs(tmp_path, ["html"], "<i>", "<u>", [nasty])
    text = (tmp_path / "index.html").read_text()
    assert "alert(1)</script>" not in text
    assert "<i>" not in text.replace("<i></i>", "")
    assert text.count("</script>") == 3  # content, one video, the player
