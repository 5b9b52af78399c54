"""The default learner on the line world: resumed it goes the unbroken run's way; no judge, no verdicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from robo_reward.contracts import Budget
from robo_reward.data.demonstrations import collect_demonstrations
from robo_reward.line_world import LineReward, LineWorld
from robo_reward.policies.rlpd import RlpdLearner
from robo_reward.reward_models.transforms.level import Level
from robo_reward.reward_stack import RewardStack
from robo_reward.runs.folder import RunFolder
from robo_reward.session import Session

HORIZON, ROLLOUTS = 12, 16


def learn(folder: Path, audition: int, stop: int | None = None, resume: bool = False) -> dict[str, Any]:
    """One run into ``folder``; ``stop``: KeyboardInterrupt after so many rollouts. The session's notes."""
    torch.set_num_threads(1)
    demonstrations, _ = collect_demonstrations(LineWorld(horizon=HORIZON), 1, 0, 2)
    with RunFolder.create("train", "line", {"seed": 0}, folder, resume=resume, tensorboard=False) as run:
        stack = RewardStack(LineReward(), [Level()])
        session = Session(LineWorld(horizon=HORIZON), stack, demonstrations, Budget(ROLLOUTS, None), run, seed=0)
        latest = run.latest_checkpoint()
        if resume and latest is not None:
            session.restore(latest)
        learner = RlpdLearner(
            ("clone",), audition, trial=3, offset_rollouts=2, checkpoint_every=6, refit_every=50, evaluate_every=99,
            batch=16,
        )  # fmt: skip
        play = learner._play

        def played(*args: Any) -> None:
            play(*args)
            if session.tally.rollouts == stop:
                raise KeyboardInterrupt

        learner._play = played  # type: ignore[method-assign]
        learner.learn(session)
        return session.notes


def rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if not k.startswith("timing/")} for line in lines]


@pytest.mark.parametrize("audition", [0, 2])
def test_a_resumed_run_goes_the_unbroken_ones_way(audition: int, tmp_path: Path) -> None:
    learn(tmp_path / "whole", audition)
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "part", audition, stop=14)
    learn(tmp_path / "part", audition, resume=True)
    assert rows(tmp_path / "part") == rows(tmp_path / "whole")


def test_without_a_judge_the_learned_policy_is_kept_and_nobodys_verdict_is_told(tmp_path: Path) -> None:
    notes = learn(tmp_path, audition=2)
    assert notes["kept"] == "learned"
    assert notes["judged_learned"] is None
    assert notes["judged_prior"] is None
