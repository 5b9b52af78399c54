"""Checks the numbers of a verb's config before anything is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robo_reward.errors import UserError


def check_bounds(config: Any, least: Mapping[str, int]) -> None:
    """Every key of ``least`` must be a whole number of at least its value; null means that nothing was chosen.

    Raises:
        UserError: that names the key, its value and the bound.
    """
    from omegaconf import OmegaConf

    for key, bound in least.items():
        value = OmegaConf.select(config, key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < bound:
            raise UserError(f"{key}={value} must be a whole number of {bound} or more")


def check_seeds(seeds: Any) -> None:
    """``evaluation_seeds`` must list at least one whole number.

    Raises:
        UserError: that shows what was given and how it is written.
    """
    listed = list(seeds) if isinstance(seeds, Sequence) and not isinstance(seeds, str) else []
    if not listed or not all(isinstance(seed, int) for seed in listed):
        raise UserError(f"evaluation_seeds={seeds} must list at least one whole number, e.g. evaluation_seeds=[1,2]")
