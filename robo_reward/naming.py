"""What reports, summaries and run folders call things: the words that the command line knows them by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SUFFIXES = ("Model", "Reward")


def reward_name(model: Any) -> str:
    """The model's own ``name``, else its class's: SuccessClassifier is success_classifier, ProgressModel progress."""
    own = getattr(model, "name", None)
    if isinstance(own, str) and own:
        return own
    bare = type(model).__name__
    for suffix in SUFFIXES:
        bare = bare.removesuffix(suffix) or bare
    return snake_case(bare)


def world_name(env: Mapping[str, Any]) -> str:
    """For a run folder: suite and task, id, terrain or file of a world's settings, what there is of them."""
    words = [str(env[key]) for key in ("suite", "task", "id", "terrain") if env.get(key) is not None]
    if env.get("xml") is not None:
        words.append(Path(str(env["xml"])).stem)
    return "-".join(words) or "run"


def snake_case(name: str) -> str:
    """MinForm is min_form, StepPRM step_prm."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
