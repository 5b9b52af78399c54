"""What reports and summaries call a reward model or a transform: the word that the command line knows it by."""

from __future__ import annotations

import re
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


def snake_case(name: str) -> str:
    """MinForm is min_form, StepPRM step_prm."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
