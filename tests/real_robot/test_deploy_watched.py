"""A run's own reward model and judge, saved and loaded again, watch its policy on the arm; curves of what happened."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("scservo_sdk")
sys.path.append(str(Path(__file__).parent))
from deployable import make_run  # type: ignore[import-not-found]

from robo_reward import cli
from robo_reward.trace import Trace

VIEWS = ["front", "wrist"]
LENIENT = ["sight.age_periods=30", "loop.joints_age=1", "loop.patience=3", "robot.watches.bus_lost=2"]


def demonstration(seed: int) -> Trace:
    """Pictures that get brighter until the task is done; nothing that the arm will ever show."""
    rng, steps = np.random.default_rng(seed), 24
    light = np.linspace(20, 220, steps + 1)[:, None, None, None]
    frames = {
        view: np.clip(light + rng.normal(0, 5, (steps + 1, 48, 64, 3)), 0, 255).astype(np.uint8) for view in VIEWS
    }
    success = np.arange(steps + 1) >= steps - 4
    state = np.zeros((steps + 1, 6), np.float32)
    return Trace("reach", state, state[:-1], frames, np.arange(steps + 1), 30.0, "demonstration", success=success)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A train run with a progress model and a judge that were fitted in a moment."""
    from omegaconf import OmegaConf

    from robo_reward.build import build, save_reward_model

    folder = make_run(tmp_path_factory.mktemp("watched") / "run")
    fit = {"_target_": "robo_reward.reward_models.progress_fit.FitSettings", "steps": 40}
    parts: dict[str, dict[str, Any]] = {
        "reward_model": {
            "_target_": "robo_reward.reward_models.progress.ProgressModel",
            "views": VIEWS, "stride": 3, "members": 1, "fit": fit,
        },
        "judge": {"_target_": "robo_reward.reward_models.success_guard.SuccessGuard", "views": VIEWS, "steps": 40},
    }  # fmt: skip
    shown = [demonstration(seed) for seed in range(3)]
    for name, recipe in parts.items():
        made = build(recipe)
        made.fit([trace.every(3) for trace in shown], [], 0)
        save_reward_model(made, OmegaConf.create(recipe), folder / name)
    held: Any = OmegaConf.load(folder / "config.yaml")
    held.transform = {"chain": [{"_target_": "robo_reward.reward_models.transforms.level.Level", "source": "progress"}]}
    OmegaConf.save(held, folder / "config.yaml")
    return folder


def test_the_saved_reward_and_judge_watch_an_episode_and_price_it(run: Path, tmp_path: Path) -> None:
    from robo_reward.data.dataset_source import open_dataset

    out, live = tmp_path / "out", tmp_path / "live.rrd"
    asked = ["deploy", f"run={run}", f"run_dir={out}", "seconds=2", f"live={live}", "robot.plant.task=reach", *LENIENT]
    assert cli.run(asked) == 0
    line = json.loads((out / "episodes.jsonl").read_text())
    assert line["reason"] == "time", "the judge never saw a bright picture"
    assert len(line["progress"]) > 5
    assert all(0 <= value <= 1 for _, value in line["progress"])
    assert "next.reward" in open_dataset(str(out / "episodes")).features
    assert json.loads((out / "summary.json").read_text())["notes"]["unpriced"] is None
    assert live.stat().st_size > 10_000, "pictures are in the recording"

    pages = tmp_path / "curves"
    assert cli.run(["curves", f"run={out}", f"run_dir={pages}", "format=[html,csv]"]) == 0
    assert (pages / "index.html").stat().st_size > 10_000
    assert list(pages.glob("**/*.csv"))


def test_a_judge_that_sees_success_ends_the_episode(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from robo_reward.reward_models.success_guard import SuccessGuard

    monkeypatch.setattr(SuccessGuard, "moment", lambda self, trace: 0)
    out = tmp_path / "out"
    assert cli.run(["deploy", f"run={run}", f"run_dir={out}", "seconds=20", *LENIENT]) == 0
    line = json.loads((out / "episodes.jsonl").read_text())
    assert line["reason"] == "success"
    assert line["steps"] < 300


def test_a_live_view_that_is_none_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["deploy", f"run={run}", f"run_dir={tmp_path / 'out'}", "live=screen"]) == 2
    assert "live=screen must be rerun" in capsys.readouterr().err
