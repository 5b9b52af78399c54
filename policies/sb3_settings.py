"""Which arguments of Stable-Baselines3's constructors a learner's yaml may set, and within which bounds."""

from __future__ import annotations

import math
import re
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
    "n_steps": 1, "n_epochs": 1, "buffer_size": 1, "learning_starts": 0, "target_update_interval": 1, "train_freq": 1,
    "batch_size": 1, "gradient_steps": -1, "sde_sample_freq": -1,
}  # fmt: skip
"""Whole numbers, with the least of each."""
SHARES = ("gamma", "gae_lambda", "tau")
POSITIVE = ("learning_rate", "clip_range", "clip_range_vf", "target_kl", "tau")
ANY = {"vf_coef": 0.0, "ent_coef": 0.0, "target_entropy": None}
"""Finite numbers, with the least of each."""
WORDS = {"ent_coef": r"auto(_[0-9.eE+-]+)?", "target_entropy": "auto"}
"""Those that SAC takes in place of a number."""
OFF = ("target_kl", "clip_range_vf")
"""Null leaves these out."""


def check_settings(algorithm: Algorithm, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, each of them known and within its bounds; counts that were written as 1e4 are whole numbers.

    Raises:
        UserError: that names the setting, its value and the bounds.
    """
    owner, checked = f"learner={algorithm}", dict(settings)
    for name, value in settings.items():
        if name not in SETTINGS[algorithm]:
            raise unknown_name(f"setting of {owner}", name, SETTINGS[algorithm])
        if value is None and name in OFF:
            continue
        this: dict[str, Any] = {name: value}
        if name in COUNTS:
            checked[name] = _count(owner, name, value)
        elif name in SHARES:
            check_numbers(owner, least=0, most=1, **this)
        elif name in ANY and not (algorithm == "sac" and _word(owner, name, value)):
            check_numbers(owner, least=ANY[name], **this)
        if name in POSITIVE:
            check_positive(owner, **this)
    if (norm := settings.get("max_grad_norm", 1.0)) != math.inf:  # which leaves gradients as they are
        check_positive(owner, max_grad_norm=norm)
    if checked.get("gradient_steps") == 0:
        raise UserError(f"{owner}: gradient_steps=0 learns nothing: give 1 or more, or -1 for as many as steps")
    if algorithm == "ppo" and _normalises(checked):
        check_numbers(f"{owner} normalize_advantage=true", least=2, batch_size=checked.get("batch_size", 2))
    return checked


def check_rollout(settings: Mapping[str, Any], worlds: int) -> None:
    """An iteration of PPO needs two steps for a spread of advantages. UserError with the way out."""
    if settings.get("n_steps", 2) * worlds < 2 and _normalises(settings):
        raise UserError("learner.n_steps=1 in one world is one step an iteration: set it to 2 or more")


def _normalises(settings: Mapping[str, Any]) -> bool:
    return bool(settings.get("normalize_advantage", True))


def _count(owner: str, name: str, value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    check_numbers(owner, least=COUNTS[name], whole=True, **{name: value})
    return int(value)


def _word(owner: str, name: str, value: Any) -> bool:
    """Whether it is one of SAC's words; UserError for any other word."""
    if not isinstance(value, str):
        return False
    begin = value.partition("_")[2]
    if re.fullmatch(WORDS.get(name, ""), value) is None or (begin and not _above_zero(begin)):
        raise UserError(f"{owner}: {name}={value} must be a number or auto{'_0.1' if name == 'ent_coef' else ''}")
    return True


def _above_zero(word: str) -> bool:
    try:
        return float(word) > 0
    except ValueError:
        return False
