"""A disturber inside PPO: asked before each step, told after it, resumed with the run; and policies to go on from."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from robo_reward.contracts import Budget
from robo_reward.errors import UserError
from robo_reward.line_world import LineReward
from robo_reward.policies.sb3_learner import Sb3Learner
from robo_reward.reward_models.disturber.adversary_update import UpdateSettings
from robo_reward.reward_models.disturber.curriculum import Curriculum
from robo_reward.reward_models.disturber.learned_disturber import LearnedDisturber
from robo_reward.reward_models.env_reward import EnvReward
from robo_reward.reward_models.transforms.level import Level
from robo_reward.reward_stack import RewardStack
from robo_reward.rewarded_env import RewardedEnv
from robo_reward.runs.folder import RunFolder
from robo_reward.session import Session
from robo_reward.stopping import build_disturber, build_stopper

sys.path.append(str(Path(__file__).parent.parent / "reward_models" / "disturber"))
from pushed_point import PushedPoint  # type: ignore[import-not-found]

SMALL: dict[str, Any] = {"layers": (16,), "n_steps": 10, "batch_size": 20, "n_epochs": 2, "checkpoint_every": 40}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def adversary(world: PushedPoint) -> LearnedDisturber:
    disturber = LearnedDisturber(
        Curriculum(5.0, warmup=20), UpdateSettings(layers=(16,)), bodies=("point",), vertical=False
    )
    disturber.bind(world, "reward")
    return disturber


@contextmanager
def session(folder: Path, steps: int, disturbed: bool = True) -> Iterator[Session]:
    world = PushedPoint(num_worlds=2)
    with RunFolder.create("train", "point", {"seed": 0}, folder, resume=folder.exists(), tensorboard=False) as run:
        stack = RewardStack(EnvReward("reward"), [])
        disturber = adversary(world) if disturbed else None
        yield Session(world, stack, [], Budget(None, steps), run, seed=0, disturber=disturber)
        run.finish("interrupted")  # so that it can be gone on with


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_every_step_is_pushed_after_the_warm_up_and_every_rollout_is_learned_from(tmp_path: Path) -> None:
    with session(tmp_path / "run", 120) as running:
        Sb3Learner(**SMALL).learn(running)
        pushed = np.stack(running.world.pushed)  # type: ignore[attr-defined]
    assert len(pushed) == 60
    acted = np.abs(pushed[:, :, 0]).sum((1, 2)) > 0
    assert acted.tolist() == [False] * 10 + [True] * 50
    assert not pushed[:, :, 1].any()
    told = [row for row in rows(tmp_path / "run") if "disturber/lambda" in row]
    assert [row["rollout/env_steps"] for row in told] == [20, 40, 60, 80, 100, 120]
    assert told[0]["disturber/bound_newtons"] == 5.0
    assert told[0]["disturber/force_newtons"] == 0.0
    assert told[-1]["disturber/force_newtons"] > 0.0
    assert told[-1]["disturber/lambda"] != 1.0


def test_a_resumed_run_goes_the_way_of_the_unbroken_one(tmp_path: Path) -> None:
    def weights(folder: Path, steps: list[int]) -> tuple[Any, Any]:
        for total in steps:
            with session(folder, total) as running:
                latest = running.run.latest_checkpoint()
                if latest is not None:
                    running.restore(latest)
                policy = Sb3Learner(**SMALL).learn(running)
        assert isinstance(running.disturber, LearnedDisturber)
        return policy.net.state_dict(), running.disturber.nets.state_dict()

    whole, halves = weights(tmp_path / "whole", [120]), weights(tmp_path / "halves", [80, 120])
    for one, other in zip(whole, halves, strict=True):
        assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_resumed_run_goes_on_counting_blow_ups(tmp_path: Path) -> None:
    with session(tmp_path / "run", 120) as running:
        running.world.nan_resets = 7
        running.checkpoint({})
    with session(tmp_path / "run", 120) as running:
        latest = running.run.latest_checkpoint()
        assert latest is not None
        running.restore(latest)
        assert running.nan_resets == 7
        running.world.nan_resets += 2
        assert running.nan_resets == 9


def test_the_constraint_changes_what_the_policy_learns(tmp_path: Path) -> None:
    found = []
    for name, disturbed in (("with", True), ("without", False)):
        with session(tmp_path / name, 60, disturbed) as running:
            found.append(Sb3Learner(**SMALL).learn(running).net.state_dict())
    assert any(not torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_learning_goes_on_from_a_saved_policy(tmp_path: Path) -> None:
    with session(tmp_path / "first", 40, disturbed=False) as running:
        policy = Sb3Learner(**SMALL).learn(running)
        policy.save(tmp_path / "first" / "policy")
    with session(tmp_path / "second", 20, disturbed=False) as running:
        still = {**SMALL, "learning_rate": 1e-12, "start": str(tmp_path / "first")}
        went_on = Sb3Learner(**still).learn(running)
    for name, value in policy.net.state_dict().items():
        assert torch.allclose(value, went_on.net.state_dict()[name], atol=1e-6), name
    for wrong, match in (({"layers": (8,)}, "holds a network"), ({"start": str(tmp_path)}, "no saved 'policy'")):
        with session(tmp_path / match[:2], 20, disturbed=False) as running, pytest.raises(UserError, match=match):
            Sb3Learner(**{**still, **wrong}).learn(running)


def test_who_cannot_be_disturbed_says_so() -> None:
    hook = OmegaConf.create(
        {
            "hook": {
                "_target_": "robo_reward.reward_models.disturber.random_pushes.RandomPushes",
                "curriculum": {"_target_": "robo_reward.reward_models.disturber.curriculum.Curriculum", "limit": 1.0},
            }
        }
    )
    stack = RewardStack(EnvReward("reward"), [])
    assert build_stopper(hook, stack) is None
    assert build_disturber(hook, Sb3Learner("ppo")) is not None
    assert build_disturber(OmegaConf.create({"hook": {"_target_": None}}), Sb3Learner("sac")) is None
    with pytest.raises(UserError, match="learner=ppo"):
        build_disturber(hook, Sb3Learner("sac"))


def test_an_adversary_refuses_a_discount_of_one_before_anything_is_built() -> None:
    home = "robo_reward.reward_models.disturber"
    curriculum = {"_target_": f"{home}.curriculum.Curriculum", "limit": 1.0}
    for name, refused in (("learned_disturber.LearnedDisturber", True), ("random_pushes.RandomPushes", False)):
        hook = {"_target_": f"{home}.{name}", "curriculum": curriculum}
        config = OmegaConf.create({"hook": hook, "learner": {"gamma": 1}})
        with pytest.raises(UserError, match=r"learner\.gamma=1 must be") if refused else nullcontext():
            build_disturber(config, Sb3Learner("ppo", gamma=1))
        config.learner.gamma = 0.99
        build_disturber(config, Sb3Learner("ppo", gamma=0.99))


def test_rewards_that_come_late_cannot_pay_a_disturber() -> None:
    world = PushedPoint()
    with pytest.raises(UserError, match="prices per step"):
        RewardedEnv(world, RewardStack(LineReward(episode=True), [Level()]), 0, disturber=adversary(world))
