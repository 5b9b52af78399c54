"""What keeps PPO steady: a learning rate that follows the KL, and worlds whose episodes end at different times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robo_reward.contracts import Budget
from robo_reward.errors import UserError
from robo_reward.line_world import LineReward, LineWorld
from robo_reward.policies.sb3_learner import Sb3Learner
from robo_reward.policies.sb3_pace import FASTEST, SLOWEST, SteadyRate
from robo_reward.reward_models.transforms.level import Level
from robo_reward.reward_stack import RewardStack
from robo_reward.runs.folder import RunFolder
from robo_reward.session import Session

SMALL: dict[str, Any] = {"layers": (16,), "n_steps": 20, "batch_size": 20, "n_epochs": 2}


class StaggeredLine(LineWorld):
    """Counts how often it is asked to stagger, and at which episode step."""

    def reset(self, seed: int) -> Any:
        self.asked: list[bool] = getattr(self, "asked", [])
        self.fresh = True
        return super().reset(seed)

    def step(self, action: Any) -> Any:
        self.fresh = False
        return super().step(action)

    def stagger(self) -> None:
        self.asked.append(self.fresh)


def learn(folder: Path, world: Any, reward: LineReward | None = None, **settings: Any) -> list[dict[str, float]]:
    torch.set_num_threads(1)
    stack = RewardStack(reward or LineReward(), [Level()])
    with RunFolder.create("train", "line", {"seed": 0}, folder, tensorboard=False) as run:
        session = Session(world, stack, [], Budget(None, 240), run, seed=0)
        Sb3Learner(**{**SMALL, "checkpoint_every": 80, **settings}).learn(session)
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("rate", "moved", "then"),
    [
        (3e-4, 0.021, 2e-4),
        (3e-4, 0.02, 3e-4),
        (3e-4, 0.005, 3e-4),
        (3e-4, 0.0049, 4.5e-4),
        (3e-4, 0.0, 4.5e-4),
        (SLOWEST, 1.0, SLOWEST),
        (FASTEST, 0.0, FASTEST),
    ],
)
def test_the_rate_follows_the_divergence(rate: float, moved: float, then: float) -> None:
    assert SteadyRate(0.01).next_rate(rate, moved) == pytest.approx(then)


@pytest.mark.parametrize(("desired", "sign"), [(1e-9, -1), (10.0, 1)])
def test_ppo_learns_at_that_rate(tmp_path: Path, desired: float, sign: int) -> None:
    """Every update is too long, or too short: one step of the rate an update, except where a segment begins."""
    rows = learn(tmp_path / "run", LineWorld(2), desired_kl=desired, learning_rate=1e-3)
    rates = np.array([row["train/learning_rate"] for row in rows if "train/learning_rate" in row])
    steps = np.round(np.log(rates / 1e-3) / np.log(1.5)) * sign
    # segments of two iterations: the last update of each is recorded as it ends, its length is not looked at
    assert rates == pytest.approx(np.clip(1e-3 * 1.5 ** (sign * steps), SLOWEST, FASTEST))
    assert (np.diff(steps) >= 0).all()
    assert steps[0] == 0
    assert steps[-1] >= 2


def test_worlds_are_staggered_after_each_reset(tmp_path: Path) -> None:
    world = StaggeredLine(2)
    learn(tmp_path / "run", world, stagger=True)
    assert world.asked == [True, True, True]


def test_what_cannot_be_paced_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be staggered"):
        learn(tmp_path / "a", LineWorld(2), stagger=True)
    with pytest.raises(UserError, match="prices whole ones"):
        learn(tmp_path / "b", StaggeredLine(2), LineReward(episode=True), stagger=True)
    with pytest.raises(UserError, match="desired_kl=0"):
        Sb3Learner(desired_kl=0.0)
    for wrong in ({"stagger": True}, {"desired_kl": 0.1}):
        with pytest.raises(UserError, match="learner=ppo"):
            Sb3Learner(algorithm="sac", **wrong)  # type: ignore[arg-type]
