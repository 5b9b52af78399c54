"""Which arguments of Stable-Baselines3's constructors a learner's yaml may set, and within which bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robo_reward.bounds import check_numbers, check_positive
from robo_reward.errors import UserError, unknown_name
from robo_reward.policies.sb3_policy import Algorithm

SETTINGS: dict[Algorithm, tuple[str, ...]] = {
    "ppo": (
        "learning_rate", "n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda", "clip_range", "clip_range_vf",
        "normalize_advantage", "ent_coef", "vf_coef", "max_grad_norm", "use_sde", "sde_sample_freq", "target_kl",
    ),
    "sac": (
        "learning_rate", "buffer_size", "learning_starts", "batch_size", "tau", "gamma", "train_freq", "gradient_steps",
        "ent_coef", "target_update_interval", "target_entropy", "use_sde", "sde_sample_freq", "use_sde_at_warmup",
    ),
}  # fmt: skip
"""The others are decided by the run."""
COUNTS = {
    "n_steps": 1, "n_epochs": 1, "buffer_size": 1, "learning_starts": 0, "target_update_interval": 1,
    "gradient_steps": -1, "sde_sample_freq": -1,
}  # fmt: skip
"""Whole numbers, with the least of each."""
SHARES = ("gamma", "gae_lambda", "tau", "vf_coef", "ent_coef")
POSITIVE = ("learning_rate", "clip_range", "clip_range_vf", "max_grad_norm", "target_kl", "tau")
LEAST_BATCH = {"ppo": 2, "sac": 1}
"""PPO's advantages are divided by their spread, and one alone has none."""


def check_settings(algorithm: Algorithm, settings: Mapping[str, Any]) -> None:
    """Every setting must be known and within its bounds; null and words (``ent_coef=auto``) are SB3's own to read.

    Raises:
        UserError: that names the setting, its value and the bounds.
    """
    owner = f"learner={algorithm}"
    for name in settings:
        if name not in SETTINGS[algorithm]:
            raise unknown_name(f"setting of {owner}", name, SETTINGS[algorithm])
    for name, value in settings.items():
        if value is None and name in ("target_kl", "clip_range_vf"):
            continue
        if name == "batch_size":
            check_numbers(owner, least=LEAST_BATCH[algorithm], whole=True, batch_size=value)
        elif name in COUNTS:
            check_numbers(owner, least=COUNTS[name], whole=True, **{name: value})
        elif name in SHARES and not isinstance(value, str):
            bounded = name not in ("vf_coef", "ent_coef")
            check_numbers(owner, least=0, most=1 if bounded else None, **{name: value})
        if name in POSITIVE:
            check_positive(owner, **{name: value})


def check_rollout(settings: Mapping[str, Any], worlds: int) -> None:
    """An iteration of PPO needs two steps for a spread of advantages. UserError with the way out."""
    if settings.get("n_steps", 2) * worlds < 2:
        raise UserError("learner.n_steps=1 in one world is one step an iteration: set it to 2 or more")
