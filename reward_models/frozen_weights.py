"""What is saved of a network with a pretrained part: the weights that were trained, and name and hash of the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from robo_reward.errors import UserError
from robo_reward.reward_models.backbones import Backbone
from robo_reward.reward_models.fingerprint import check_fingerprint, fingerprint


def trained_weights(net: nn.Module) -> dict[str, Any]:
    """``net``: weights by name, without pretrained parts that a name restores; ``frozen``: name and hash of these.

    Random weights, and weights that an older folder held although their name means others today, count as trained.
    """
    frozen = {place: part for place, part in _backbones(net).items() if part.restorable}
    return {
        "net": {key: value for key, value in net.state_dict().items() if not _within(key, frozen)},
        "frozen": {place: {"name": part.name, "sha256": fingerprint(part)} for place, part in frozen.items()},
    }


def load_trained(net: nn.Module, weights: Mapping[str, Tensor], frozen: Mapping[str, Mapping[str, str]]) -> None:
    """Takes back ``trained_weights``. ``frozen`` empty: all weights were stored, as older folders hold them.

    Raises:
        UserError: if a pretrained part is another one, or has other weights than then; if ``frozen`` is damaged, or a
            weight is not finite or of another kind of number.
    """
    if not all(bool(torch.isfinite(value).all()) for value in weights.values() if value.is_floating_point()):
        raise UserError("the weights hold values that are not finite: fit the reward model again")
    own_types = {key: value.dtype for key, value in net.state_dict().items()}
    for key, value in weights.items():
        if value.is_floating_point() != own_types.get(key, value.dtype).is_floating_point:
            raise UserError(f"the weight '{key}' is {value.dtype} in place of {own_types[key]}: the file is damaged")
    if not all(isinstance(told, Mapping) and {"name", "sha256"} <= set(told) for told in frozen.values()):
        raise UserError("this reward model does not say which pretrained network it was fitted with: it is damaged")
    parts = _backbones(net)
    for place, told in frozen.items():
        part = parts.get(place)
        if part is None or part.name != told["name"]:
            has = "none" if part is None else part.name
            raise UserError(f"this reward model was fitted with encoder={told['name']}, the configuration says {has}")
        check_fingerprint(fingerprint(part), told["sha256"], f"encoder={part.name}")
    stored = {place: part for place, part in parts.items() if place not in frozen and part.restorable}
    named = {place: fingerprint(part) for place, part in stored.items()}
    own = {key: value for key, value in net.state_dict().items() if _within(key, frozen)}
    net.load_state_dict({**weights, **own})
    for place, part in stored.items():
        part.restorable = fingerprint(part) == named[place]


def _backbones(net: nn.Module) -> dict[str, Backbone]:
    return {place: part for place, part in net.named_modules() if isinstance(part, Backbone)}


def _within(key: str, places: Mapping[str, Any]) -> bool:
    return any(key.startswith(f"{place}.") for place in places)
