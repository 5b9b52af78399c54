"""The train verb with PPO and SAC on real simulators, very short: plain RL, learned rewards in both pricing modes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
import pytest

from robo_reward.errors import UserError
from robo_reward.reward_models.no_reward import NoReward
from robo_reward.runs.folder import RunFolder
from robo_reward.verbs.train import run

QUICK = ("episodes=1", "evaluation_seeds=[1]", "evaluate_every_episodes=1", "report=false", "video=false")
PENDULUM = ("env=gym", "env.id=InvertedPendulum-v5", "env.horizon=50", "reward_model=env_dense", "transform=none")
LEARNED = ("reward_model.fit.steps=5", "judge.steps=5", "audit=none", "negatives.random=4", "negatives.replay=0")
DRAWER = ("env=metaworld", "env.height=48", "env.width=48", "env.num_worlds=2", *LEARNED)


def train(folder: Path, *overrides: str) -> dict[str, Any]:
    with hydra.initialize_config_module("robo_reward.configs", version_base="1.3"):
        config = hydra.compose("train", [*QUICK, *overrides, f"run_dir={folder}"])
    run(config)
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


def test_plain_rl_is_marked_as_oracle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = train(tmp_path / "run", *PENDULUM, "learner=ppo", "learner.n_steps=64", "steps=200")
    assert (summary["used_env_reward"], summary["used_env_success"], summary["demos"]) == (True, False, 0)
    assert (summary["env_steps"], summary["base_reward"], summary["frames_rendered"]) == (192, "env_dense", 0)
    assert (tmp_path / "run/policy/policy.yaml").exists()

    # and stays so of what goes on from it by another reward
    monkeypatch.setattr(NoReward, "prices", True)
    words = (*PENDULUM, "reward_model=none", "transform=level", "learner=ppo", "learner.n_steps=64", "steps=100")
    later = train(tmp_path / "later", *words, f"learner.start={tmp_path / 'run'}")
    assert (later["used_env_reward"], later["used_env_success"]) == (True, False)


def test_sac_resumes_through_the_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sac = (*PENDULUM, "learner=sac", "learner.learning_starts=50", "learner.checkpoint_every=100", "steps=200")
    train(tmp_path / "whole", *sac)
    checkpoint = RunFolder.checkpoint

    @contextmanager
    def stop(self: RunFolder, step: int) -> Iterator[Path]:
        with checkpoint(self, step) as folder:
            yield folder
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(RunFolder, "checkpoint", stop)
        train(tmp_path / "parts", *sac)
    assert json.loads((tmp_path / "parts/summary.json").read_text())["status"] == "interrupted"
    summary = train(tmp_path / "parts", *sac, "resume=true")
    assert summary["env_steps"] == 200

    def rows(name: str) -> list[dict[str, Any]]:
        read = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        return [{k: v for k, v in row.items() if not k.startswith("timing/")} for row in read]

    assert rows("whole") == rows("parts")


@pytest.mark.parametrize(
    "reward",
    [
        ("reward_model=progress", "transform=level", "env.workers=subprocess"),
        ("reward_model=transport", "transform=default"),
    ],
)
def test_learned_rewards(tmp_path: Path, reward: tuple[str, ...]) -> None:
    summary = train(tmp_path / "run", *DRAWER, *reward, "learner=ppo", "learner.n_steps=75", "steps=450")
    assert (summary["used_env_reward"], summary["used_env_success"], summary["demos"]) == (False, False, 1)
    assert (summary["rollouts"], summary["env_steps"]) == (6, 450)
    assert summary["pricing_seconds"] > 0


def test_a_learned_reward_without_an_expert(tmp_path: Path) -> None:
    task = ("env=gym", "env.id=InvertedPendulum-v5", "env.views=[free]", "learner=ppo")
    with pytest.raises(UserError, match=r"no scripted expert .* data=DATASET"):
        train(tmp_path / "run", *task, "reward_model=progress", "transform=level")
