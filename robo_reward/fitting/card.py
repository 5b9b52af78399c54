"""What a fit leaves besides weights: the model's card, how to use it, and its way to the hub."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_reward.runs import atomic
from robo_reward.runs.folder import RunFolder
from robo_reward.runs.model_card import CardFacts, model_card

if TYPE_CHECKING:
    from omegaconf import DictConfig


def write_card(
    cfg: DictConfig, views: Sequence[str], split: dict[str, Any], folder: RunFolder, words: Sequence[str]
) -> None:
    """README.md in ``reward_model/``; ``words``: what ``robo-reward train`` needs besides the model's path."""
    summary, target = folder.summary, folder.path / "reward_model"
    place = cfg.push_to_hub or target.name
    facts = CardFacts(
        name=str(cfg.push_to_hub or folder.path.name),
        kind=str(summary.reward_model),
        views=views,
        split=split,
        env=summary.env,
        verdict=summary.reward_audit,
        settings=(target / "model.yaml").read_text("utf-8"),
        use=f"robo-reward train {' '.join([f'reward_model.path={place}', *words])}",
        seed=cfg.seed,
        version=version("robo-reward"),
        metrics={k: v for k, v in summary.notes.items() if k.startswith("audit/")},
    )
    atomic.write_text(target / "README.md", model_card(facts))


def pushes_only(cfg: DictConfig) -> bool:
    """Uploads the model of reward_model.path, where that is what was asked; else only checks the name."""
    if cfg.push_to_hub is None:
        return False
    from robo_reward.runs.hub import check_hub_id

    check_hub_id(str(cfg.push_to_hub))
    path = cfg.reward_model.get("path")
    if path is None:
        return False
    folder = Path(path) if (Path(path) / "model.yaml").exists() else Path(path) / "reward_model"
    push(cfg, folder)
    return True


def push(cfg: DictConfig, folder: Path) -> None:
    """Uploads the saved model with all that lies beside it, if that was asked.

    Raises:
        UserError: what the hub answered; the folder is as it was.
    """
    from robo_reward.runs.hub import push_model

    if cfg.push_to_hub is not None:
        print(f"pushed to {push_model(folder, str(cfg.push_to_hub), cfg.private)}")


def env_words() -> list[str]:
    """The world as it was named on the command line, so that train is run in the same one."""
    import shlex

    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return []
    words = [str(word) for word in HydraConfig.get().overrides.task]
    return [shlex.quote(word) for word in words if word.startswith(("env=", "env.")) and word != "env=none"]
