"""Progress curves of datasets, runs and videos, by a reward whose numbers can be read off the frames."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from omegaconf import DictConfig, OmegaConf

from robo_reward import cli
from robo_reward.contracts import Estimate, Needs
from robo_reward.data.datasets import write_dataset
from robo_reward.data.demonstrations import collect_demonstrations
from robo_reward.data.video import write_video
from robo_reward.errors import UserError
from robo_reward.report.curve_sources import price, price_episode
from robo_reward.report.curves_page import write_curves_page
from robo_reward.verbs import curves


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setenv("ROBO_REWARD_TRUST", "strided_reward")
    import paper_world

    return paper_world


@pytest.fixture
def data(paper: Any, tmp_path: Path) -> Path:
    """Two episodes of eight steps, brighter by 20 in each."""
    traces, _ = collect_demonstrations(paper.PaperWorld(), 2, seed=0, hold=3)
    write_dataset(traces, tmp_path / "data", images=True)
    return tmp_path / "data"


def model(folder: Path, views: list[str], oracle: str = "none", stride: int = 2) -> Path:
    folder.mkdir(parents=True)
    target = {"_target_": "strided_reward.StridedReward", "views": views, "oracle": oracle, "stride": stride}
    OmegaConf.save(OmegaConf.create(target), folder / "model.yaml")
    return folder


def settings(tmp_path: Path, **changes: Any) -> DictConfig:
    here = OmegaConf.load(Path(__file__).parents[2] / "configs" / "curves.yaml")
    return OmegaConf.merge(here, {"run_dir": str(tmp_path / "out")}, changes)  # type: ignore[return-value]


def rows(tmp_path: Path, folder: str = "out") -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = pq.read_table(tmp_path / folder / "curves.parquet").to_pylist()
    return table


def content(page: Path) -> dict[str, Any]:
    found = re.search(r'id="content">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)
    assert found is not None
    inside: dict[str, Any] = json.loads(found[1])
    return inside


def test_a_dataset(paper: Any, data: Path, tmp_path: Path) -> None:
    path = model(tmp_path / "model", ["top"])
    curves.run(settings(tmp_path, data=str(data), reward_model={"path": str(path)}))
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {
        "index.html", "curves.svg", "curves.png", "curves.csv", "curves.parquet", "strip-episode-0.png",
        "strip-episode-1.png", "summary.json", "config.yaml", "metrics.jsonl",
    }  # fmt: skip
    table = rows(tmp_path)
    first = [row for row in table if row["episode_index"] == 0]
    assert [row["step"] for row in first] == [0, 2, 4, 6, 7]  # the model's stride, and the end
    np.testing.assert_allclose([row["progress"] for row in first], [0, 0.4, 0.8, 1, 1])
    assert {(row["task"], row["success"], row["model"]) for row in table} == {("go right", True, "model")}
    page = content(tmp_path / "out" / "index.html")
    assert [e["name"] for e in page["episodes"]] == ["episode 0", "episode 1"]
    assert page["episodes"][0]["videoFps"] == 5  # 10 steps a second, every second one
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["status"], summary["episodes"], summary["reward_model"]) == ("done", 2, "strided")


def test_several_models_look_at_their_own_views_and_steps(paper: Any, data: Path, tmp_path: Path) -> None:
    one, two = model(tmp_path / "a" / "reward_model", ["top"]), model(tmp_path / "two", ["front"], stride=3)
    several = settings(tmp_path, data=str(data), reward_models=[str(one), str(two)], format="parquet")
    curves.run(several)
    steps = {m: [r["step"] for r in rows(tmp_path) if (r["model"], r["episode_index"]) == (m, 0)] for m in ("a", "two")}
    assert steps == {"a": [0, 2, 4, 6, 7], "two": [0, 3, 6, 7]}
    named = settings(tmp_path, data=str(data), reward_models={"ours": str(one), "theirs": str(two)}, format=["html"])
    named.run_dir = str(tmp_path / "named")
    curves.run(named)
    page = content(tmp_path / "named" / "index.html")
    assert page["models"] == ["ours", "theirs"]
    assert page["episodes"][0]["steps"] == list(range(8))  # every step that one of them looks at
    assert page["episodes"][0]["views"] == ["top", "front"]
    with pytest.raises(UserError, match="given twice"):
        curves.run(settings(tmp_path, data=str(data), reward_models=[str(one)], reward_model={"path": str(one)}))


def test_a_model_is_called_as_its_folder_from_inside_it_too(
    paper: Any, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model(tmp_path / "ours", ["top"]))
    curves.run(settings(tmp_path, data=str(data), reward_model={"path": "."}, format="parquet"))
    assert {row["model"] for row in rows(tmp_path)} == {"ours"}


def test_two_models_of_one_name_are_refused(paper: Any, data: Path, tmp_path: Path) -> None:
    one, two = model(tmp_path / "one", ["top"]), model(tmp_path / "two", ["top"], stride=3)
    with pytest.raises(UserError, match=r"two reward models are called 'one': name them, .*\{other: .*two\}"):
        curves.run(settings(tmp_path, data=str(data), reward_model={"path": str(one)}, reward_models={"one": str(two)}))
    assert not (tmp_path / "out").exists()


def test_rabc_holds_every_frame_of_every_episode(paper: Any, data: Path, tmp_path: Path) -> None:
    path = model(tmp_path / "model", ["top"])
    curves.run(settings(tmp_path, data=str(data), reward_model={"path": str(path)}, format="rabc", max_episodes=1))
    table = pq.read_table(tmp_path / "out" / "sarm_progress.parquet")
    assert table["index"].to_pylist() == list(range(16))
    assert table["episode_index"].to_pylist() == [0] * 8 + [1] * 8
    # priced at 0, 2, 4, 6 and 7; between them halfway
    np.testing.assert_allclose(table["progress_sparse"][:8], [0, 0.2, 0.4, 0.6, 0.8, 0.9, 1, 1], atol=1e-6)
    assert not (tmp_path / "out" / "index.html").exists()


def test_rewards_whose_names_differ_in_signs_keep_a_file_each(paper: Any, data: Path, tmp_path: Path) -> None:
    several = [model(tmp_path / name / "reward_model", ["top"]) for name in ("v1.0", "v1-0", "V1-0")]
    curves.run(settings(tmp_path, data=str(data), reward_models=[str(one) for one in several], format="rabc"))
    files = sorted((tmp_path / "out").glob("*sarm_progress.parquet"))
    names = {path.name.removesuffix("-sarm_progress.parquet") for path in files}
    assert names == {"v1-0", "v1-0-2", "V1-0-3"}
    told = {pq.read_schema(path).metadata[b"reward_model_path"] for path in files}
    assert told == {b"v1.0", b"v1-0", b"V1-0"}


def test_a_dataset_may_be_priced_under_another_instruction(paper: Any, data: Path, tmp_path: Path) -> None:
    path = {"path": str(model(tmp_path / "model", ["top"]))}
    curves.run(settings(tmp_path, data=str(data), reward_model=path, format="parquet", task="go left"))
    assert {(row["task"], row["success"]) for row in rows(tmp_path)} == {("go left", None)}
    own = settings(tmp_path, data=str(data), reward_model=path, format="parquet", task="go right")
    own.run_dir = str(tmp_path / "own")
    curves.run(own)
    assert {(row["task"], row["success"]) for row in rows(tmp_path, "own")} == {("go right", True)}


def test_no_video_without_pictures(paper: Any, tmp_path: Path) -> None:
    traces, _ = collect_demonstrations(paper.PaperWorld(), 2, seed=0, hold=3)
    write_dataset([replace(trace, frames={}) for trace in traces], tmp_path / "blind")
    path = {"path": str(model(tmp_path / "model", []))}
    with pytest.raises(UserError, match="format=mp4 shows pictures"):
        curves.run(settings(tmp_path, data=str(tmp_path / "blind"), reward_model=path, format=["csv", "mp4"]))
    assert not (tmp_path / "out").exists()


def test_a_success_that_is_lost_again_is_told(paper: Any, tmp_path: Path) -> None:
    (trace, _), _ = collect_demonstrations(paper.PaperWorld(), 2, seed=0, hold=3)
    success = np.zeros(len(trace) + 1, bool)
    success[4:6] = True
    shown = price_episode("e", replace(trace, success=success), {"m": paper.PaperReward(["front"])}, thin=False)
    assert (shown.success, shown.outcome, shown.success_step, shown.lost_step) == (True, "lost", 4, 6)
    assert shown.success_at_end is False
    assert shown.miss == pytest.approx(shown.final)
    for truth, outcome in ((success | True, "success"), (success & False, "failure"), (None, "unknown")):
        seen = price_episode("e", replace(trace, success=truth), {"m": paper.PaperReward(["front"])}, thin=False)
        assert (seen.outcome, seen.lost_step) == (outcome, None)
    write_curves_page(tmp_path, "t", "s", [shown])
    text = (tmp_path / "index.html").read_text()
    assert "1 succeed and lose it again" in text
    assert content(tmp_path / "index.html")["episodes"][0]["lostStep"] == 6


def test_a_run_has_its_own_episodes_and_model(paper: Any, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    model(run / "reward_model", ["front"])
    (run / "config.yaml").write_text("seed: 0\n")
    with pytest.raises(UserError, match="kept no episodes"):
        curves.run(settings(tmp_path, run=str(run)))
    data.rename(run / "episodes")
    curves.run(settings(tmp_path, run=str(run), episodes=[1]))
    assert {row["episode"] for row in rows(tmp_path)} == {"episode 1"}


def test_a_video(paper: Any, tmp_path: Path) -> None:
    film = np.stack([np.full((48, 48, 3), 20 * k, np.uint8) for k in range(6)])
    write_video(tmp_path / "film.mp4", film, 10)
    write_video(tmp_path / "still.mp4", film[:1], 10)
    (tmp_path / "noise.mp4").write_bytes(b"no video" * 99)
    (tmp_path / "torn.mp4").write_bytes((tmp_path / "film.mp4").read_bytes()[:300])
    one, two = model(tmp_path / "one", ["top"]), model(tmp_path / "two", ["top", "front"])
    video = {"video": str(tmp_path / "film.mp4"), "task": "go right"}
    curves.run(settings(tmp_path, **video, reward_model={"path": str(one)}))
    table = rows(tmp_path)
    np.testing.assert_allclose([row["progress"] for row in table], [0, 0.2, 0.4, 0.6, 0.8, 1], atol=0.03)
    assert {row["success"] for row in table} == {None}
    for changes, said in (
        ({}, "view=top shows it to all"),
        ({"view": "tip"}, "did you mean 'top'"),
        ({"view": "top", "task": ""}, "instruction"),
        ({"view": "top", "video": str(tmp_path / "none.mp4")}, "no video file"),
        ({"view": "top", "video": str(tmp_path / "torn.mp4")}, "no video stream"),
        ({"view": "top", "video": str(tmp_path / "noise.mp4")}, "damaged or none"),
        ({"view": "top", "video": str(tmp_path / "still.mp4")}, "holds one picture"),
        ({"view": "top", "format": "rabc"}, "weighs the frames of a dataset"),
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
        ({"data": str(data), "reward_models": [str(tmp_path)]}, "holds no reward model"),
        ({"data": str(data), "format": ["html", "jpg"]}, "unknown format 'jpg'"),
        ({"data": str(data), "reward_models": str(tmp_path)}, "holds no reward model"),
        ({"data": str(data), "max_episodes": -1}, "max_episodes=-1 must be a whole number of 1 or more"),
        ({"video": "x.mp4", "max_frames": 1}, "max_frames=1 must be a whole number of 2 or more"),
        ({"data": str(data), "episodes": 0}, r"episodes=0 must list whole numbers of 0 or more, e.g. episodes=\[0,3\]"),
        ({"data": str(data), "episodes": [0, 0]}, "names an episode twice"),
        ({"data": str(data), "size": [0, 5]}, "must list whole numbers of 1 or more"),
        ({"data": str(data), "size": [5]}, r"must be \[height,width\]"),
        ({"data": str(data), "view": "top"}, "view=top is for video=FILE, not for data="),
        ({"data": str(data), "max_frames": 2}, "max_frames=2 is for video=FILE"),
        ({"data": str(data), "views": ["top"]}, r"views=\['top'\] is for reward_model=NAME"),
        ({"video": "x.mp4", "episodes": [0]}, r"episodes=\[0\] chooses of a dataset"),
    ):
        with pytest.raises(UserError, match=said):
            curves.run(settings(tmp_path, **changes))
    assert not (tmp_path / "out").exists()


def test_frames_are_scaled_to_what_the_model_was_fitted_on(paper: Any, data: Path) -> None:
    (trace, _), _ = collect_demonstrations(paper.PaperWorld(), 2, seed=0, hold=3)
    curve = price(paper.PaperReward(["front"]), trace)
    assert curve.success is True
    assert len(curve.progress) == 9


class Liar:
    """Answers what it is told to."""

    needs = Needs(views=("front",))

    def __init__(self, progress: list[float]) -> None:
        values = np.asarray(progress, np.float32)
        self.said = Estimate(values, 0 * values, 0 * values, 0 * values)

    def begin(self, first: Any, fresh: Any) -> Estimate:
        raise AssertionError

    def estimate(self, transition: Any) -> Estimate:
        raise AssertionError

    def estimate_episode(self, trace: Any) -> Estimate:
        return self.said


def test_nonsense_from_a_model_is_an_error(paper: Any) -> None:
    (trace, _), _ = collect_demonstrations(paper.PaperWorld(), 2, seed=0, hold=3)
    with pytest.raises(UserError, match=r"'liar' gave progress=nan at frame 2"):
        price(Liar([0, 0.5, float("nan")] + [1.0] * 6), trace, name="liar")
    with pytest.raises(UserError, match=r"shape \(2,\) for 9 frames"):
        price(Liar([0, 1]), trace)


def test_milestones_come_from_the_model(paper: Any) -> None:
    (trace, _), _ = collect_demonstrations(paper.PaperWorld(), 2, seed=0, hold=3)
    walker = Liar([0.0] * 9)
    assert len(price(walker, trace).milestones) == 0
    walker.head, walker.interval = "milestones", 4  # type: ignore[attr-defined]
    assert price(walker, trace).milestones.tolist() == [4, 8]
    walker.interval = None  # type: ignore[attr-defined]
    assert len(price(walker, trace).milestones) == 0, "every hop is from the first frame"
    walker.interval, walker.uniform = 4, 3  # type: ignore[attr-defined]
    assert len(price(walker, trace).milestones) == 0, "frames are spread anew at every look"
    walker.uniform = None  # type: ignore[attr-defined]
    walker.milestone_frames = lambda _: np.array([1, 5])  # type: ignore[attr-defined]
    assert price(walker, trace).milestones.tolist() == [1, 5]


def test_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["curves"]) == 2
    assert "exactly one of" in capsys.readouterr().err
