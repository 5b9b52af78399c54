"""train and evaluate of plain RL on a task without a success test, on a machine that cannot render."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from robo_reward import cli
from robo_reward.envs.rendering import CameraRenderer
from robo_reward.errors import UserError

WORDS = (
    "env=gym env.id=InvertedPendulum-v5 env.horizon=50 reward_model=env_dense transform=none learner=ppo "
    "learner.n_steps=64 steps=64 episodes=1 evaluation_seeds=[1]"
)


def summary(folder: Path) -> Any:
    return json.loads((folder / "summary.json").read_text("utf-8"))


@pytest.fixture(autouse=True)
def _blind(monkeypatch: pytest.MonkeyPatch) -> None:
    def render(self: CameraRenderer, camera: str) -> None:
        raise UserError("no picture can be rendered")

    monkeypatch.setattr(CameraRenderer, "render", render)


def test_what_was_measured_holds_without_a_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, again = tmp_path / "run", tmp_path / "again"
    assert cli.run(["train", *WORDS.split(), f"run_dir={run}"]) == 0
    told = capsys.readouterr()
    assert "the report has no video (video=false asks for none): no picture can be rendered" in told.err
    assert "return " in told.out
    assert (run / "report" / "index.html").is_file()
    assert cli.run(["evaluate", f"run={run}", f"run_dir={again}"]) == 0
    told = capsys.readouterr()
    assert "no video was made (video=false asks for none): no picture can be rendered" in told.err
    assert "over 1 episodes (no success test)" in told.out
    assert summary(run)["status"] == summary(again)["status"] == "done"
    # nothing was compared, so nothing is claimed
    assert summary(again)["success_rate"] is None
    assert summary(again)["env_return"] == summary(run)["env_return"]
    assert summary(again)["notes"]["reproduced"] is None
