"""fit adapt_from=FOLDER: settings are taken or refused, never ignored, and old tasks can be rehearsed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from robo_reward import cli
from robo_reward.build import load_reward_model
from robo_reward.data.datasets import read_dataset
from robo_reward.fitting.episodes import Episode, video_of
from robo_reward.fitting.splits import read_split
from robo_reward.reward_models.step_prm.step_prm import StepPrm
from robo_reward.verbs.audit import fitted_on


@pytest.fixture(scope="module")
def saved(right: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A step_prm of one task, hardly trained; one of its four demonstrations is held out."""
    folder = tmp_path_factory.mktemp("adapting") / "first"
    words = ["reward_model=step_prm", "reward_model.fit.steps=4", "reward_model.refit_steps=2", "audit=none"]
    assert cli.run(["fit", f"data={right}", *words, f"run_dir={folder}"]) == 0
    return folder


def test_what_can_be_changed_is_and_old_tasks_are_rehearsed(
    saved: Path, right: Path, left: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def adapt(model: StepPrm, shown: Sequence[Any], negatives: Any, seed: int, rehearse: Sequence[Any] = ()) -> Any:
        seen.update(model=model, new={t.task for t in shown}, old=[t.task for t in rehearse])
        return {}

    monkeypatch.setattr(StepPrm, "adapt", adapt)
    words = ["reward_model=step_prm", "reward_model.stride=5", "reward_model.perspective=forward"]
    more = ["reward_model.fit.steps=8", "reward_model.fit.adapt_share=0.5", f"rehearse=[{right}]", "audit=none"]
    fit = ["fit", f"data={left}", f"adapt_from={saved}", "demos=1", *words, *more, f"run_dir={tmp_path / 'on'}"]
    assert cli.run(fit) == 0
    assert seen["new"] == {"turn back"}
    assert seen["old"] == ["go right"] * 3
    back = load_reward_model(tmp_path / "on")
    for model in (seen["model"], back):
        assert (model.needs.stride, model.fusion.perspective) == (5, "forward")
        assert (model._learning.settings.steps, model._learning.settings.adapt_share) == (8, 0.5)


def test_what_was_held_out_is_not_rehearsed_and_stays_on_record(
    saved: Path,
    right: Path,
    left: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also where the same split is named, and where the new demonstrations are those of the first fit."""
    seen: dict[str, set[str]] = {}

    def adapt(model: StepPrm, shown: Sequence[Any], negatives: Any, seed: int, rehearse: Sequence[Any] = ()) -> Any:
        seen.update(new={video_of(t) for t in shown}, old={video_of(t) for t in rehearse})
        return {}

    monkeypatch.setattr(StepPrm, "adapt", adapt)
    first = read_split(saved).rows["demonstrations"]
    fitted, (out,) = {r["video"] for r in first["fitted"]}, [r["video"] for r in first["held_out"]]
    fit = ["fit", f"adapt_from={saved}", "audit=none"]
    words = [f"data={left}", f"rehearse={right}", f"split={saved}"]
    assert cli.run([*fit, *words, f"run_dir={tmp_path / 'on'}"]) == 0
    assert seen["old"] == fitted
    assert len(seen["new"]) == 3
    assert "1 of 4 episode(s) of rehearse stay out" in capsys.readouterr().out
    stored = read_split(tmp_path / "on").rows
    told = {side: [row["video"] for row in rows] for side, rows in stored["demonstrations"].items()}
    assert sorted(told["fitted"]) == sorted(fitted | seen["new"])
    assert len(told["held_out"]) == 2
    assert out in told["held_out"]
    assert len(stored["negatives"]["fitted"]) == 2 * len(read_split(saved).rows["negatives"]["fitted"])
    known = [Episode(trace, "elsewhere", k) for k, trace in enumerate(read_dataset(right))]
    assert fitted_on(known, tmp_path / "on" / "reward_model") == 3
    card = (tmp_path / "on" / "reward_model" / "README.md").read_text()
    assert "| demonstrations | 6 | 2 |" in card
    assert "* go right" in card
    assert cli.run([*fit, f"data={right}", f"run_dir={tmp_path / 'same'}"]) == 0
    assert seen["new"] == fitted


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reward_model.layers=3"], "reward_model.layers=3 would change nothing"),
        (["reward_model=transport"], "holds a StepPrm of other parts than reward_model=transport"),
        (["reward_model=step_prm", "reward_model.views=[top]"], "keeps its own reward_model.views"),
        (["reward_model=step_prm", "reward_model.refrences=1"], "refrences"),
        (["rehearse=DATA"], "an episode is either new or rehearsed"),
        (["rehearse=nowhere/at/all"], "no dataset folder"),
    ],
)
def test_what_would_be_ignored_is_refused(
    words: list[str], message: str, saved: Path, right: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word.replace("DATA", str(right)) for word in words]
    group = (
        []
        if any(w.startswith("reward_model=") or w.startswith("rehearse") for w in words)
        else ["reward_model=step_prm"]
    )
    fit = ["fit", f"data={right}", f"adapt_from={saved}", *group, *given, f"run_dir={tmp_path / 'run'}"]
    assert cli.run(fit) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_yaml_of_ones_own_that_is_not_read_is_told(
    saved: Path, left: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(StepPrm, "adapt", lambda *_, **__: {})
    own = "defaults: [step_prm, _self_]\nlayers: 3\nperspective: forward\nfit: {steps: 9}\n"
    for name, text in (
        ("reward_model/mine", own),
        ("experiment/x", "# @package _global_\nreward_model: {stride: 7}\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / f"{name}.yaml").write_text(text)
    fit = ["fit", f"data={left}", f"adapt_from={saved}", "audit=none", "reward_model=mine", "+experiment=x"]
    more = ["reward_model.perspective=forward", f"run_dir={tmp_path / 'on'}"]
    assert cli.run([*fit, *more, "--config-dir", str(tmp_path)]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "keeps its own" in line]
    assert len(told) == 2
    assert any("reward_model.layers=2 (not 3), reward_model.fit.steps=4 (not 9), whatever" in line for line in told)
    assert any("keeps its own reward_model.stride=3 (not 7), whatever" in line for line in told)
    assert cli.run([*fit[:-2], f"run_dir={tmp_path / 'shipped'}"]) == 0
    assert "keeps its own" not in capsys.readouterr().out, "nobody said anything"


def test_rehearsing_goes_with_adapting(right: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["fit", f"data={right}", f"rehearse={right}"]) == 2
    assert "goes with adapt_from=FOLDER" in capsys.readouterr().err
