"""PPO trains on batched worlds through the command line, the same way each time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robo_reward.cli import run
from robo_reward.envs.locomotion.make_quadruped import make_world

SMALL = [
    "experiment=quadruped",
    "env.num_worlds=8",
    "env.threads=1",
    "env.horizon=20",
    "steps=512",
    "learner.n_steps=16",
    "learner.batch_size=64",
    "learner.n_epochs=1",
    "learner.checkpoint_every=256",
    "episodes=2",
    "evaluate_every_episodes=1",
    "evaluation_seeds=[1]",
    "video=false",
    "report=false",
]


def test_the_experiment_trains_and_says_that_it_used_an_oracle(tmp_path: Path) -> None:
    assert run(["train", *SMALL, f"run_dir={tmp_path / 'run'}"]) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["env"] == "quadruped/flat"
    assert summary["env_steps"] == 512
    assert summary["used_env_reward"] is True
    assert summary["success_rate"] is not None
    again = tmp_path / "again"
    assert run(["train", *SMALL, f"run_dir={again}"]) == 0

    def untimed(folder: Path) -> list[dict[str, float]]:
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return [{k: v for k, v in row.items() if not k.startswith("timing/")} for row in rows]

    assert untimed(again) == untimed(tmp_path / "run")
    spread = [row["train/std"] for row in untimed(again) if "train/std" in row]
    assert abs(spread[0] - 0.5) < 0.05  # learner.initial_std of the experiment


def test_variants_that_no_world_would_have_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", *SMALL, "env.randomise.variants=9", f"run_dir={tmp_path / 'a'}"]) == 2
    told = capsys.readouterr().err
    assert "env.randomise.variants=9, but env.num_worlds=8" in told
    assert "1 would never be trained on" in told
    world = make_world(num_worlds=1, threads=1, randomise={"variants": 9})  # as in an evaluation: the nominal robot
    assert world.sim.model_of(0) is world.sim.model
    world.close()


def test_wrong_settings_exit_with_2(tmp_path: Path) -> None:
    assert run(["train", *SMALL, "env.terrain=lava", f"run_dir={tmp_path / 'a'}"]) == 2
    assert run(["train", *SMALL, "learner.initial_std=0", f"run_dir={tmp_path / 'b'}"]) == 2
