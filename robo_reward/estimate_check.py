"""What a reward model says, held against the contract before anything is paid for it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.contracts import Estimate
from robo_reward.errors import UserError

RANGES = {"progress": (0, 1), "gain": (-1, 1), "success": (0, 1), "uncertainty": (0, np.inf), "match": (-1, 1)}
"""Lowest and highest value of each part of an estimate (``contracts.Estimate``)."""
ROUNDING = 1e-3
"""How far beyond its range a value may lie in use; the contract's tests allow nothing."""


class ContractBroken(UserError):
    """A reward model said what no Estimate may hold."""


def checked(estimate: Any, count: int, name: str, rows: str = "frames", rounding: float = ROUNDING) -> Estimate:
    """``estimate`` as it came, if it is an Estimate of ``count`` rows that keeps to the contract.

    Args:
        name: what the reward model is called, for messages.
        rows: what the rows are, frames of an episode or worlds.
        rounding: how far beyond its range a value may lie.

    Raises:
        ContractBroken: for anything else, another number of rows, values that are not finite or out of their range.
    """
    if not isinstance(estimate, Estimate):
        raise ContractBroken(f"the reward model '{name}' gave {type(estimate).__name__} in place of an Estimate")
    for field in fields(Estimate):
        value = getattr(estimate, field.name)
        if value is not None or field.name != "match":
            _check_part(field.name, value, count, name, rows, rounding)
    return estimate


def _check_part(part: str, value: Any, count: int, name: str, rows: str, rounding: float) -> None:
    plain = isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray)
    if plain and value.dtype.kind != "f":
        raise ContractBroken(f"the reward model '{name}' gave {part} of dtype {value.dtype}: give float32")
    if not plain or value.shape != (count,):
        shape = f"shape {value.shape}" if plain else f"type {type(value).__name__}"
        raise ContractBroken(f"the reward model '{name}' gave {part} of {shape} for {count} {rows}: give ({count},)")
    low, high = RANGES[part]
    wrong: NDArray[np.bool_] = ~((value >= low - rounding) & (value <= high + rounding) & np.isfinite(value))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ContractBroken(
            f"the reward model '{name}' gave {part}={value[row]:g} at {rows[:-1]} {row} of {count}, outside [{low}, "
            f"{high}]: its weights or the pictures are damaged, or it breaks the contract (contracts.Estimate)"
        )
