"""Checks tensors as they come from a file, before they are reckoned with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from robo_reward.errors import UserError

Shape = tuple[int | None, ...]
"""None: any number of rows."""


def check_saved(what: str, held: Any, shapes: Mapping[str, Shape], positive: Sequence[str] = ()) -> None:
    """``held`` must have a tensor of each name in ``shapes``, of that shape and finite, those in ``positive`` above 0.

    Raises:
        UserError: that names ``what`` is damaged, the tensor and what it must be.
    """
    for name, shape in shapes.items():
        value = held.get(name) if isinstance(held, Mapping) else None
        if not isinstance(value, Tensor):
            raise UserError(f"{what} has no tensor '{name}': the file is damaged, fit the reward model again")
        fits = len(value.shape) == len(shape) and all(n in (None, k) for n, k in zip(shape, value.shape, strict=True))
        if not fits:
            wanted = "x".join("any" if n is None else str(n) for n in shape)
            raise UserError(
                f"{what}: '{name}' has the shape {'x'.join(map(str, value.shape))} in place of {wanted}: the file is "
                "damaged, fit the reward model again"
            )
        if not bool(torch.isfinite(value).all()) or (name in positive and not bool((value > 0).all())):
            wanted = "finite and above 0" if name in positive else "finite"
            raise UserError(
                f"{what}: '{name}' holds values that are not {wanted}: the file is damaged, fit the reward model again"
            )
