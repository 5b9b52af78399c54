"""Builds wings from yaml: the only way in which verbs meet them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robo_reward.contracts import Policy, RewardModel, RewardTransform, World
from robo_reward.errors import UserError
from robo_reward.reward_stack import RewardStack
from robo_reward.runs import atomic
from robo_reward.session import Saveable

MODEL_YAML = "model.yaml"


def build(config: Any, **more: Any) -> Any:
    """Instantiates a hydra ``_target_`` config; a user's mistake inside keeps its own message."""
    import hydra
    from hydra.errors import InstantiationException

    try:
        return hydra.utils.instantiate(config, **more, _convert_="all")
    except InstantiationException as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, UserError):
                raise cause from None
            cause = cause.__cause__
        raise


def build_world(config: Any, **more: Any) -> World:
    """A world from the ``env`` group; ``more`` overrides its keys."""
    world: World = build(config, **more)
    return world


def build_stack(config: Any) -> RewardStack:
    """Reward model and transforms of a train or fit config. A fitted model comes from ``reward_model.path``."""
    return RewardStack(build_reward_model(config.reward_model), build_transforms(config.transform))


def build_reward_model(config: Any) -> RewardModel:
    """A reward model from its group; with ``path`` the saved one, whose own yaml says what it is."""
    from omegaconf import OmegaConf

    path = OmegaConf.select(config, "path")
    if path is not None:
        return load_reward_model(Path(path))
    plain = {k: v for k, v in OmegaConf.to_container(config, resolve=True).items() if k != "path"}  # type: ignore[union-attr]
    model: RewardModel = build(plain)
    return model


def build_transforms(config: Any) -> list[RewardTransform]:
    """The transforms in the order of the yaml's ``chain``."""
    return [build(entry) for entry in config.chain]


def save_reward_model(model: RewardModel | Saveable, config: Any, folder: Path) -> None:
    """Writes a reward model that ``load_reward_model`` reads: its yaml and its weights."""
    from omegaconf import OmegaConf

    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, Saveable):
        model.save(folder)
    source = OmegaConf.select(config, "path")
    if source is not None:  # a model that was loaded is what its own yaml says, not what the group's default says
        config = OmegaConf.load(_model_folder(Path(source)) / MODEL_YAML)
    plain = {k: v for k, v in OmegaConf.to_container(config, resolve=True).items() if k != "path"}  # type: ignore[union-attr]
    atomic.write_text(folder / MODEL_YAML, OmegaConf.to_yaml(OmegaConf.create(plain)))


def load_reward_model(folder: Path) -> RewardModel:
    """A saved reward model.

    Raises:
        UserError: if the folder holds none.
    """
    from omegaconf import OmegaConf

    folder = _model_folder(Path(folder))
    model: RewardModel = build(OmegaConf.load(folder / MODEL_YAML))
    if isinstance(model, Saveable):
        model.load(folder)
    return model


def _model_folder(folder: Path) -> Path:
    """The folder itself, or the reward model of the run in it."""
    for place in (folder, folder / "reward_model"):
        if (place / MODEL_YAML).exists():
            return place
    raise UserError(f"'{folder}' holds no reward model (no {MODEL_YAML}): give the folder that robo-reward fit wrote")


def load_policy(folder: Path) -> Policy:
    """A saved policy.

    Raises:
        UserError: if the folder holds none.
    """
    import hydra
    from omegaconf import OmegaConf

    folder = Path(folder)
    if not (folder / "policy.yaml").exists():
        raise UserError(f"'{folder}' holds no policy (no policy.yaml): give run=DIR of a finished train run")
    policy: Policy = hydra.utils.call(OmegaConf.load(folder / "policy.yaml"), folder=folder)
    return policy
