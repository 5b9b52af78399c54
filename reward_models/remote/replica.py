"""A reward model's own state for each client: a copy that shares the networks and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from robo_reward.contracts import RewardModel
from robo_reward.errors import UserError


def replicate(model: RewardModel) -> RewardModel:
    """A model with the same weights (torch modules are shared) and a per-episode state of its own.

    Raises:
        UserError: if the model holds what cannot be copied (locks, connections).
    """
    shared = {id(module): module for module in _modules(model)}
    try:
        return deepcopy(model, shared)
    except (TypeError, RuntimeError) as error:
        raise UserError(
            f"{type(model).__name__} cannot be stepped by clients of a server ({error}): "
            "price whole episodes (pricing=deferred), or give the class a __deepcopy__"
        ) from error


def _modules(model: Any) -> Iterator[Any]:
    """The torch modules in the model's attributes, in containers and in attributes of attributes."""
    import sys

    torch = sys.modules.get("torch")
    if torch is None:  # a model without torch holds no module
        return
    seen: set[int] = set()
    waiting: list[Any] = [model]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, torch.nn.Module):
            yield value
        elif isinstance(value, Mapping):
            waiting += list(value.values())
        elif isinstance(value, list | tuple):
            waiting += value
        elif type(value).__module__.split(".")[0] not in ("builtins", "numpy", "torch"):
            waiting += list(getattr(value, "__dict__", {}).values())
