"""What is saved of a network with a pretrained part: the weights that were trained, and name and hash of the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from robo_reward.errors import UserError
from robo_reward.reward_models.backbones import Backbone


def fingerprint(net: nn.Module) -> str:
    """SHA-256 of all parameters and buffers with their names, types and shapes; of equal weights it is equal."""
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def check_fingerprint(net: nn.Module, stored: str | None, name: str) -> None:
    """Refuses a pretrained network that is not the one of the fit. ``stored`` None: saved before hashes were kept.

    Raises:
        UserError: that names the network and both hashes.
    """
    if stored is None or (now := fingerprint(net)) == stored:
        return
    raise UserError(
        f"the weights of {name} are not those that this reward model was fitted with (sha256 {now[:12]}..., then "
        f"{stored[:12]}...): what was trained on them means nothing with others. Name the checkpoint of then by its "
        "file, or fit the reward model again"
    )


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
        UserError: if a pretrained part is another one, or has other weights than then.
    """
    parts = _backbones(net)
    for place, told in frozen.items():
        part = parts.get(place)
        if part is None or part.name != told["name"]:
            has = "none" if part is None else part.name
            raise UserError(f"this reward model was fitted with encoder={told['name']}, the configuration says {has}")
        check_fingerprint(part, told["sha256"], f"encoder={part.name}")
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
