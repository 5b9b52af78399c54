"""open_clip models by name: what is missing is said with what to download, random weights are said loudly."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from robo_reward.errors import MissingExtra, UserError, unknown_name

RANDOM_SEED = 0
"""Random weights are the same every time, so that a model that was saved prices as before."""


INSTEAD = "reward_model=progress with encoder=conv needs none"


class RandomWeights(UserWarning):
    """An encoder has random weights: good for tests and timing, meaningless as a reward."""


@contextmanager
def random_weights(encoder: str) -> Iterator[None]:
    """Says that ``encoder`` gets random weights, and draws them from a seed of their own."""
    warnings.warn(
        f"{encoder} has RANDOM weights, since no checkpoint was named: as a reward it means nothing. Good for trying "
        "things out and for timing; name a checkpoint for anything else",
        RandomWeights,
        stacklevel=3,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        yield


@contextmanager
def weights_at_hand(encoder: str, instead: str = INSTEAD, source: str = "") -> Iterator[None]:
    """Turns what the hub's client says about weights that it cannot get into a user's error.

    ``instead``: what can be used without them; ``source``: where they are to be had.
    """
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:  # offline, no such checkpoint, another architecture's file
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"the weights of {encoder} could not be loaded: {reason} (check the name, the network and "
            f"HF_HUB_OFFLINE{source}; {instead})"
        ) from error


def load_open_clip(architecture: str, checkpoint: str | None, asked: str, instead: str) -> Any:
    """The open_clip model, in eval mode and frozen; ``checkpoint``: a tag or a local file, None for random weights.

    ``architecture``: a name, or a .json file as open_clip's own model_configs are. ``checkpoint``: a tag or a local
    file, None for random weights. ``asked``: how the configuration names it; ``instead``: what needs no download.

    Raises:
        MissingExtra: without open_clip.
        UserError: for an unknown architecture or tag, and for weights that are neither here nor to be fetched.
    """
    try:
        import open_clip
    except ImportError:
        raise MissingExtra("open-clip-torch", "encoders", asked) from None
    architecture = known_architecture(architecture)
    if checkpoint is None:
        with random_weights(asked), weights_at_hand(asked, instead):
            net = open_clip.create_model(architecture, pretrained=None, pretrained_text=False)
    else:
        with weights_at_hand(asked, instead, _source(open_clip, architecture, checkpoint)):
            net = open_clip.create_model(architecture, pretrained=checkpoint, require_pretrained=True)
    return net.eval().requires_grad_(False)


def known_architecture(architecture: str) -> str:
    """The architecture's name; a .json file is read and becomes known by its own name.

    Raises:
        UserError: for an unknown name or file.
    """
    import open_clip

    if architecture.endswith(".json"):
        if not Path(architecture).is_file():
            raise UserError(f"there is no open_clip architecture file '{architecture}'")
        open_clip.add_model_config(architecture)
        architecture = Path(architecture).stem
    if architecture not in open_clip.list_models():
        raise unknown_name("open_clip architecture", architecture, open_clip.list_models())
    return architecture


def _source(open_clip: Any, architecture: str, checkpoint: str) -> str:
    """Where a checkpoint is to be had, for an error message."""
    known = open_clip.list_pretrained_tags_by_model(architecture)
    if checkpoint not in known:
        return f"; a local file, or one of {', '.join(sorted(known)) or 'no known checkpoints'}"
    found = open_clip.get_pretrained_cfg(architecture, checkpoint)
    place = found.get("hf_hub", "").rstrip("/") or found.get("url", "")
    return f"; download {place} where there is a network, or name the file by its path"
