"""Tells whether a pretrained network is the one that a saved reward model was trained on."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from robo_reward.errors import UserError


def fingerprint(net: nn.Module) -> str:
    """SHA-256 of all parameters and buffers with their names, types and shapes; of equal weights it is equal."""
    digest = hashlib.sha256()
    for name, value in sorted(net.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def check_fingerprint(now: str, stored: str, name: str) -> None:
    """Refuses the network ``name`` with the fingerprint ``now`` where that of the fit was ``stored``.

    Raises:
        UserError: that names the network and both.
    """
    if now != stored:
        raise UserError(
            f"the weights of {name} are not those that this reward model was fitted with (sha256 {now[:12]}..., then "
            f"{stored[:12]}...): what was trained on them means nothing with others. Name the checkpoint of then by "
            "its file, or fit the reward model again"
        )
