"""A Meta-World task under the disturber, from the command line: any world with bodies can be pushed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robo_reward import cli

pytest.importorskip("metaworld")
WORDS = [
    "env=metaworld", "env.task=reach", "env.num_worlds=2", "env.views=[]", "env.horizon=20", "reward_model=env_dense",
    "transform=none", "judge=none", "audit=none", "learner=ppo", "learner.n_steps=10", "learner.batch_size=20",
    "learner.layers=[8]", "steps=60", "episodes=1", "evaluation_seeds=[1]", "evaluate_every_episodes=1", "video=false",
    "report=false", "hook=disturber", "hook.reward_bound=20", "hook.curriculum.warmup=0",
    "hook.curriculum.limit=5",
]  # fmt: skip


def test_a_manipulation_task_is_pushed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert cli.run(["train", *WORDS, "hook.bodies=[hand]", f"run_dir={folder}"]) == 0
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    told = [row for row in rows if "disturber/cost" in row]
    assert len(told) == 3
    assert all(row["disturber/force_newtons"] > 0 for row in told)
    assert all(0.0 < row["disturber/cost"] < 1.0 for row in told)
    assert all(row["disturber/above_bound"] == 0 for row in told)


def test_bodies_must_be_named_where_there_are_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["train", *WORDS, f"run_dir={tmp_path / 'run'}"]) == 2
    assert "name some, hook.bodies=[...]. Known: " in capsys.readouterr().err
    assert cli.run(["train", *WORDS, "hook.bodies=[haand]", f"run_dir={tmp_path / 'run'}"]) == 2
    assert "did you mean 'hand'" in capsys.readouterr().err
