"""Progress curves of datasets, runs and videos, by a reward whose numbers can be read off the frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from robo_reward import cli
from robo_reward.data.datasets import write_dataset
from robo_reward.data.demonstrations import collect_demonstrations
from robo_reward.data.video import read_video, write_video
from robo_reward.errors import UserError
from robo_reward.report.curve_sources import price
from robo_reward.verbs import curves


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import paper_world

    return paper_world


@pytest.fixture
def data(paper: Any, tmp_path: Path) -> Path:
    """Two episodes of eight steps, brighter by 20 in each."""
    traces, _ = collect_demonstrations(paper.PaperWorld(), 2, seed=0, hold=3)
    write_dataset(traces, tmp_path / "data", images=True)
    return tmp_path / "data"


def model(folder: Path, views: list[str], oracle: str = "none") -> Path:
    folder.mkdir(parents=True)
    target = {"_target_": "paper_world.PaperReward", "views": views, "oracle": oracle}
    OmegaConf.save(OmegaConf.create(target), folder / "model.yaml")
    return folder


def settings(tmp_path: Path, **changes: Any) -> DictConfig:
    here = OmegaConf.load(Path(__file__).parents[2] / "configs" / "curves.yaml")
    return OmegaConf.merge(here, {"run_dir": str(tmp_path / "out")}, changes)  # type: ignore[return-value]


def lines(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "out" / "curves.jsonl").read_text().splitlines()]


def test_a_dataset(paper: Any, data: Path, tmp_path: Path) -> None:
    path = model(tmp_path / "model", ["top"])
    curves.run(settings(tmp_path, data=str(data), reward_model={"path": str(path)}, overlay=True))
    names = {p.name for p in (tmp_path / "out").iterdir()}
    wanted = {"index.html", "curves.svg", "curves.png", "curves.jsonl", "summary.json", "strip-episode-0.png"}
    assert wanted <= names
    first, second = lines(tmp_path)
    assert first["steps"] == [0, 2, 4, 6, 7]  # the model's stride, and the end
    assert first["progress"] == [0, 0.4, 0.8, 1, 1]
    assert (first["task"], first["success"], second["episode"]) == ("go right", True, "episode 1")
    frames, fps = read_video(tmp_path / "out" / "overlay-episode-0.mp4")
    assert len(frames) == 5
    assert fps == 5
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["status"] == "done"


def test_a_run_has_its_own_episodes_and_model(paper: Any, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    model(run / "reward_model", ["front"])
    (run / "config.yaml").write_text("seed: 0\n")
    with pytest.raises(UserError, match="kept no episodes"):
        curves.run(settings(tmp_path, run=str(run)))
    data.rename(run / "episodes")
    curves.run(settings(tmp_path, run=str(run), episodes=[1]))
    assert [line["episode"] for line in lines(tmp_path)] == ["episode 1"]


def test_a_video(paper: Any, tmp_path: Path) -> None:
    film = np.stack([np.full((48, 48, 3), 20 * k, np.uint8) for k in range(6)])
    write_video(tmp_path / "film.mp4", film, 10)
    one, two = model(tmp_path / "one", ["top"]), model(tmp_path / "two", ["top", "front"])
    video = {"video": str(tmp_path / "film.mp4"), "task": "go right"}
    curves.run(settings(tmp_path, **video, reward_model={"path": str(one)}))
    (line,) = lines(tmp_path)
    np.testing.assert_allclose(line["progress"], [0, 0.2, 0.4, 0.6, 0.8, 1], atol=0.03)
    assert line["success"] is None
    for changes, said in (
        ({}, "view=top shows it to all"),
        ({"view": "tip"}, "did you mean 'top'"),
        ({"view": "top", "task": ""}, "instruction"),
        ({"view": "top", "video": str(tmp_path / "none.mp4")}, "no video file"),
    ):
        with pytest.raises(UserError, match=said):
            curves.run(settings(tmp_path, **(video | changes), reward_model={"path": str(two)}))
    again = settings(tmp_path, **video, view="front", reward_model={"path": str(two)})
    again.run_dir = str(tmp_path / "again")
    curves.run(again)


def test_what_cannot_be_priced(paper: Any, data: Path, tmp_path: Path) -> None:
    oracle = model(tmp_path / "oracle", ["top"], "reward")
    missing = model(tmp_path / "missing", ["side"])
    for changes, said in (
        ({}, "exactly one of run=, data= and video="),
        ({"data": str(data), "run": "x"}, "got run, data"),
        ({"data": str(data)}, "need reward_model.path"),
        ({"data": str(data), "reward_model": {"path": str(tmp_path)}}, "holds no reward model"),
        ({"data": str(data), "reward_model": {"path": str(oracle)}}, "simulator's own signal"),
        ({"data": str(data), "reward_model": {"path": str(missing)}}, "unknown view"),
        ({"run": str(tmp_path / "nowhere")}, "not a run folder"),
    ):
        with pytest.raises(UserError, match=said):
            curves.run(settings(tmp_path, **changes))
    assert not (tmp_path / "out").exists()


def test_frames_are_scaled_to_what_the_model_was_fitted_on(paper: Any, data: Path) -> None:
    (trace, _), _ = collect_demonstrations(paper.PaperWorld(), 2, seed=0, hold=3)
    curve = price(paper.PaperReward(["front"]), trace)
    assert curve.success is True
    assert len(curve.progress) == 9


def test_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["curves"]) == 2
    assert "exactly one of" in capsys.readouterr().err
