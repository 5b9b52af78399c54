"""What of Stable-Baselines3's settings is refused before anything is made, and what is left to it."""

from __future__ import annotations

from typing import Any

import pytest

from robo_reward.errors import UserError
from robo_reward.policies.sb3_learner import Sb3Learner
from robo_reward.policies.sb3_settings import check_rollout, check_settings


def test_wrong_settings_name_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'learning_rate'"):
        Sb3Learner(learning_rat=1e-3)
    with pytest.raises(UserError, match="setting of learner=sac 'n_steps'"):
        Sb3Learner("sac", n_steps=5)
    with pytest.raises(UserError, match="unknown algorithm 'td3'"):
        Sb3Learner("td3")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="must be 1 or more"):
        Sb3Learner(checkpoint_every=0)


@pytest.mark.parametrize(
    ("algorithm", "setting", "told"),
    [
        ("ppo", {"batch_size": 0}, "batch_size=0 must be a whole number of 1 or more"),
        ("ppo", {"max_grad_norm": 0.0}, "max_grad_norm=0.0 must be above 0"),
        ("ppo", {"ent_coef": "auto"}, "ent_coef=auto must be a finite number"),
        ("ppo", {"gamma": "high"}, "gamma=high must be a finite number"),
        ("sac", {"ent_coef": "aut"}, "ent_coef=aut must be a number or auto_0.1"),
        ("sac", {"ent_coef": "auto_0"}, "ent_coef=auto_0 must be a number or auto_0.1"),
        ("sac", {"target_entropy": float("nan")}, "target_entropy=nan must be a finite number"),
        ("sac", {"gradient_steps": 0}, "gradient_steps=0 learns nothing"),
        ("sac", {"train_freq": 0}, "train_freq=0 must be a whole number of 1 or more"),
        ("sac", {"learning_starts": 0.5}, "learning_starts=0.5 must be a whole number"),
        ("ppo", {"n_epochs": 0}, "n_epochs=0 must be a whole number of 1 or more"),
        ("ppo", {"gamma": 1.1}, "gamma=1.1 must be a finite number of 0 or more and of 1 or less"),
        ("ppo", {"target_kl": 0.0}, "target_kl=0.0 must be above 0"),
        ("ppo", {"learning_rate": float("nan")}, "learning_rate=nan must be a finite number"),
        ("sac", {"tau": 0}, "tau=0 must be above 0"),
        ("sac", {"ent_coef": -0.1}, "ent_coef=-0.1 must be a finite number of 0 or more"),
    ],
)
def test_numbers_out_of_range_are_refused(algorithm: Any, setting: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=f"^learner={algorithm}: {told}"):
        Sb3Learner(algorithm, **setting)


def test_what_stable_baselines_reads_itself_is_left_to_it() -> None:
    Sb3Learner("ppo", target_kl=None, clip_range_vf=None)
    Sb3Learner("ppo", max_grad_norm=float("inf"), batch_size=1, normalize_advantage=False)
    Sb3Learner("sac", ent_coef="auto", target_entropy="auto", gradient_steps=-1)
    Sb3Learner("sac", ent_coef="auto_0.1", target_entropy=-3.0)


def test_a_count_may_be_written_as_a_power_of_ten() -> None:
    assert check_settings("sac", {"learning_starts": 1e2}) == {"learning_starts": 100}


@pytest.mark.parametrize("std", [0.0, float("nan"), float("inf")])
def test_actions_need_a_spread(std: float) -> None:
    with pytest.raises(UserError, match=r"learner\.initial_std"):
        Sb3Learner(initial_std=std)


def test_advantages_are_normalised_over_two_at_least() -> None:
    with pytest.raises(UserError, match=r"normalize_advantage=true: batch_size=1 must be a finite number of 2 or more"):
        Sb3Learner(batch_size=1)


def test_an_iteration_needs_two_steps() -> None:
    with pytest.raises(UserError, match="one step an iteration"):
        check_rollout({"n_steps": 1}, worlds=1)
    check_rollout({"n_steps": 1}, worlds=2)
    check_rollout({"n_steps": 1, "normalize_advantage": False}, worlds=1)
    check_rollout({}, worlds=1)
