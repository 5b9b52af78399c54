"""``fit adapt_from=FOLDER`` keeps the saved model's settings: which of the user's own yamls say something else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

GROUP = "reward_model"
NOT_SETTINGS = ("defaults", "path", "trust")


def unread_settings(named: Any, recipe: Any, changes: Mapping[str, Any]) -> Iterator[str]:
    """A line for each chosen yaml outside the package (``--config-dir``) whose settings are not taken.

    ``named``: ``reward_model`` as composed; ``recipe``: the saved one; ``changes``: what the command line gives.
    """
    from omegaconf import OmegaConf

    said, kept = OmegaConf.create(named), OmegaConf.create(recipe)
    for file in _chosen_files():
        differ = []
        for key in _settings(file):
            old, new = OmegaConf.select(kept, key), OmegaConf.select(said, key)
            if new is not None and new != old and not any(f"{key}.".startswith(f"{given}.") for given in changes):
                differ.append(f"{GROUP}.{key}={old} (not {new})")
        if differ:
            yield f"with adapt_from the saved model keeps its own {', '.join(differ)}, whatever '{file}' says"


def _chosen_files() -> Iterator[Path]:
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return
    runtime = HydraConfig.get().runtime
    folders = [Path(source.path) for source in runtime.config_sources if source.schema == "file"]
    for group, choice in runtime.choices.items():
        files = [folder / str(group).partition("@")[0] / f"{choice}.yaml" for folder in folders]
        yield from [file for file in files if file.is_file()][:1]


def _settings(file: Path) -> list[str]:
    """What the file says of the reward model, as ``fit.steps``."""
    from omegaconf import OmegaConf

    held: Any = OmegaConf.to_container(OmegaConf.load(file))
    is_global = "@package _global_" in file.read_text("utf-8")
    if is_global:
        held = held.get(GROUP) if isinstance(held, dict) else None
    elif file.parent.name != GROUP:
        return []
    keys = list(_leaves(held)) if isinstance(held, dict) else []
    return [key for key in keys if key.split(".")[0] not in NOT_SETTINGS and not key.rpartition(".")[2].startswith("_")]


def _leaves(held: Mapping[Any, Any], before: str = "") -> Iterator[str]:
    for key, value in held.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}"
