"""What a configuration has otherwise than the saved reward model that it names, and what it may not have otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robo_reward.errors import UserError


def changes_of(config: Any) -> dict[str, Any]:
    """What a group has otherwise than the saved model it names: its ``changes``, and the simulator's word if asked."""
    said = dict(config.get("changes") or {})
    return said if config.get("oracle", "none") == "none" else said | {"oracle": config.get("oracle")}


def changed(recipe: Any, changes: Mapping[str, Any] | None) -> Any:
    """The recipe with ``changes`` (dotted key -> value) in it, as plain dicts."""
    from omegaconf import OmegaConf

    if not changes:
        return recipe
    config = OmegaConf.create(recipe)
    for key, value in changes.items():
        OmegaConf.update(config, key, value, force_add=True)
    return OmegaConf.to_container(config, resolve=False)


def check_oracle(saved: Any, asked: Any, folder: Path) -> None:
    """Refuses to hide that a simulator's verdicts may be in the weights, and to ask one of a reward that cannot.

    ``saved``: the recipe in ``folder``; ``asked``: the same with the changes.

    Raises:
        UserError: either.
    """
    before, after = (recipe.get("oracle", "none") for recipe in (saved, asked))
    if before != "none" and after != before:
        raise UserError(
            f"'{folder}' was made with oracle={before}, so it may hold the simulator's verdicts, and oracle={after} "
            "would hide that: take the fit that it began with"
        )
    kind = str(saved.get("_target_")).rpartition(".")[2]
    if "oracle" in asked and "oracle" not in saved and kind != "SelfReferentialModel":
        raise UserError(
            f"oracle={after} is asked of '{folder}', a {kind}, which asks no simulator: leave it out, or fit "
            "reward_model=self_referential"
        )
