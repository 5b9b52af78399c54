"""Builds wings from yaml: the only way in which verbs meet them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from robo_reward.bounds import check_bounds
from robo_reward.contracts import Policy, RewardModel, RewardTransform, World
from robo_reward.errors import UserError
from robo_reward.recipe_changes import changed, changes_of, check_oracle
from robo_reward.reward_stack import RewardStack
from robo_reward.runs import atomic
from robo_reward.runs.hub import fetch_model, is_hub_id
from robo_reward.session import Saveable
from robo_reward.trust import OURS, check_recipe, check_says_something, module_of, powers_in

MODEL_YAML = "model.yaml"
RECIPE_LIMIT = 1 << 20
"""Bytes; a recipe has some hundred."""
RECIPE_DEPTH = 32
MISFITS = (AssertionError, AttributeError, IndexError, KeyError, OverflowError, RuntimeError, TypeError, ValueError)
"""What loading code raises when weights are not those that it was written for."""

COUNTS = ("num_worlds", "horizon", "action_repeat")
"""Numbers that every world counts by."""


def build(config: Any, **more: Any) -> Any:
    """Instantiates a hydra ``_target_`` config; a user's mistake inside keeps its own message."""
    import hydra
    from hydra.errors import InstantiationException

    views = more.get("views", config.get("views") if hasattr(config, "get") else None)
    if isinstance(views, str):
        raise UserError(f"views={views} must be a list of cameras: views=[{views}]")
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
    """A world from the ``env`` group; ``more`` overrides its keys. UserError for a horizon that is no number, ..."""
    from omegaconf import OmegaConf

    check_bounds(OmegaConf.create({"env": config}), {f"env.{key}": 1 for key in COUNTS if key not in more})
    world: World = build(config, **more)
    return world


def build_test_world(config: Any, **more: Any) -> World:
    """The world that policies are evaluated in: one copy, here, set as the group's ``evaluation`` says, if it does."""
    return build_world(config, **{"num_worlds": 1, "workers": "in_process", **(config.get("evaluation") or {}), **more})


def load_world(config: Any, file: Path, **more: Any) -> World:
    """A world as ``file``, the config of a run, says; refuses what ``trust.py`` would not build."""
    from omegaconf import OmegaConf

    recipe = OmegaConf.to_container(config, resolve=True)
    check_recipe(recipe, file, "robo_reward.envs")
    return build_world(OmegaConf.create(recipe), **more)


def build_stack(config: Any) -> RewardStack:
    """Reward model and transforms of a train or fit config. A fitted model comes from ``reward_model.path``."""
    return RewardStack(build_reward_model(config.reward_model), build_transforms(config.transform))


def build_reward_model(config: Any) -> RewardModel:
    """A reward model from its group; with ``path`` the saved one, whose own yaml says what it is."""
    from omegaconf import OmegaConf

    config = config if OmegaConf.is_config(config) else OmegaConf.create(config)
    path = OmegaConf.select(config, "path")
    if path is not None:
        return load_reward_model(Path(path), trusted_by(config), changes_of(config))
    plain = {k: v for k, v in OmegaConf.to_container(config, resolve=True).items() if k not in _OURS}  # type: ignore[union-attr]
    if plain.get("views", ()) is None:
        raise UserError("env.views names no cameras: say which the reward reads, reward_model.views=[...]")
    model: RewardModel = build(plain)
    return model


def build_transforms(config: Any) -> list[RewardTransform]:
    """The transforms in the order of the yaml's ``chain``."""
    return [build(entry) for entry in config.chain]


def save_reward_model(model: RewardModel | Saveable, config: Any, folder: Path) -> None:
    """Writes a reward model that ``load_reward_model`` reads: its yaml and its weights.

    A model that was loaded and has not changed since takes the audit's verdict along.
    """
    from omegaconf import OmegaConf

    from robo_reward.audit_record import carry_record

    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(model, Saveable):
        model.save(folder)
    source = OmegaConf.select(config, "path")
    if source is not None:  # a model that was loaded is what its own yaml says, not what the group's default says
        recipe = OmegaConf.load(model_folder(Path(source)) / MODEL_YAML)
        config = OmegaConf.create(changed(recipe, changes_of(config)))
    held: Any = OmegaConf.to_container(config, resolve=True)
    plain = {key: _portable(value) for key, value in held.items() if key not in _OURS}
    atomic.write_text(folder / MODEL_YAML, OmegaConf.to_yaml(OmegaConf.create(plain)))
    if source is not None:
        carry_record(model_folder(Path(source)), folder)


def load_reward_model(folder: Path, trust: Sequence[str] = (), changes: Mapping[str, Any] | None = None) -> RewardModel:
    """A saved reward model.

    ``trust``: modules outside this package whose classes its yaml may name, and settings KEY=VALUE that it may make, as
    in ROBO_REWARD_TRUST. ``changes``: settings that differ from its own yaml's, by their dotted keys.

    Raises:
        UserError: if the folder holds none, names what is not trusted, or holds weights that do not fit.
    """
    folder = model_folder(Path(folder))
    saved = read_recipe(folder / MODEL_YAML)
    check_says_something(saved, folder / MODEL_YAML)
    recipe = changed(saved, changes)
    check_oracle(saved, recipe, folder)
    check_recipe(recipe, folder / MODEL_YAML, "robo_reward.reward_models", trust)
    with _fitting(folder):
        model = build(recipe)
        if not isinstance(model, RewardModel):
            raise UserError(f"'{folder / MODEL_YAML}' builds a {type(model).__name__}, which is no reward model")
        if isinstance(model, Saveable):
            model.load(folder)
    return model


_OURS = ("path", "trust", "changes")
"""Keys of a reward model's group that say where it comes from; its class never sees them."""


def trusted_by(config: Any) -> list[str]:
    """What a reward model's group trusts: the modules in ``trust``, that of its own class, addresses that it names too.

    Who names a class in a yaml of his own trusts it. Our own classes need no trust to be built, and naming one says
    nothing about where a downloaded recipe of it may send pictures.
    """
    from omegaconf import OmegaConf

    said: Any = OmegaConf.to_container(config, resolve=True)
    trusted = [*(said.get("trust") or []), *powers_in(said)]
    target = said.get("_target_")
    return [*trusted, module_of(target)] if target and not target.startswith(f"{OURS}.") else trusted


def _portable(config: Any) -> Any:
    """A model's parts, where those that were loaded are what their own yaml says; weights are saved with the whole."""
    if isinstance(config, list):
        return [_portable(value) for value in config]
    if not isinstance(config, dict):
        return config
    source = config.get("path") if "_target_" in config else None
    if source is not None and _holds_model(Path(source)):
        return changed(read_recipe(model_folder(Path(source)) / MODEL_YAML), changes_of(config))
    return {key: _portable(value) for key, value in config.items()}


def read_recipe(file: Path) -> Any:
    """A yaml file as plain dicts. Saved recipes are resolved: interpolations stay as they are, and are refused later.

    Neither aliases nor interpolations are followed: a few lines of either can describe more than memory holds.
    """
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        if not file.is_file() or file.stat().st_size > RECIPE_LIMIT:
            raise UserError(f"'{file}' is no plain file of at most {RECIPE_LIMIT} bytes: this is no recipe of ours")
        text = file.read_text("utf-8")
        _check_growth(text, file)
        return OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except (yaml.YAMLError, OmegaConfBaseException, RecursionError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"'{file}' cannot be read: {error}") from error


def _check_growth(text: str, file: Path) -> None:
    """Refuses, while it is scanned, YAML that would take far longer to build than to write."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise UserError(f"'{file}' cannot be read: it has aliases (*name), which no saved recipe has")
        if depth > RECIPE_DEPTH:
            raise UserError(f"'{file}' cannot be read: it is more than {RECIPE_DEPTH} levels deep")


@contextmanager
def _fitting(folder: Path) -> Iterator[None]:
    """Weights that do not fit what reads them are the user's to mend: another version's, another task's, or damaged."""
    from hydra.errors import InstantiationException

    try:
        yield
    except (*MISFITS, InstantiationException) as error:
        said = " ".join(str(error).split())[:300]
        raise UserError(
            f"what '{folder}' holds does not fit the class that its yaml names ({type(error).__name__}: {said}): it is "
            "damaged or was saved by another version of robo-reward"
        ) from error


def _holds_model(folder: Path) -> bool:
    return any((place / MODEL_YAML).exists() for place in (folder, folder / "reward_model"))


def model_folder(path: str | Path) -> Path:
    """Where the weights of a saved reward model lie: the folder itself, the run's ``reward_model``, the hub's cache.

    Raises:
        UserError: if there are none.
    """
    given = fetch_model(str(path)) if is_hub_id(str(path)) else Path(path)
    for place in (given, given / "reward_model"):
        if (place / MODEL_YAML).is_file():
            return place
    raise UserError(
        f"'{given}' holds no reward model (no {MODEL_YAML}): give the folder that robo-reward fit wrote "
        "(a run whose reward needs no fitting has none: name the reward itself, reward_model=NAME)"
    )


def load_policy(folder: Path, trust: Sequence[str] = ()) -> Policy:
    """A saved policy; ``trust`` as for reward models.

    Raises:
        UserError: if the folder holds none, names what is not trusted, or holds weights that do not fit.
    """
    import hydra

    folder = Path(folder)
    if not (folder / "policy.yaml").exists():
        raise UserError(f"'{folder}' holds no policy (no policy.yaml): give run=DIR of a finished train run")
    recipe = read_recipe(folder / "policy.yaml")
    check_recipe(recipe, folder / "policy.yaml", "robo_reward.policies", trust)
    with _fitting(folder):
        policy: Policy = hydra.utils.call(recipe, folder=folder)
    return policy


def check_policy_fits(folder: Path, world: World) -> None:
    """Tries a copy of a saved policy on a world, before anything is measured with it. Starts an episode there.

    Raises:
        UserError: it reads other observations or gives other actions than the world has.
    """
    policy, seen = load_policy(folder), world.reset(0)
    size, acts = world.state_size, world.action_space.shape[0]
    has = f"'{world.name}' has states of size {size} and actions of size {acts}"
    policy.reset(np.ones(world.num_worlds, bool))
    try:
        chunk = policy.act(seen)
    except MISFITS as error:
        raise UserError(
            f"the policy in '{folder}' was trained elsewhere: {has}, and it cannot act on them "
            f"({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        ) from error
    if chunk.ndim != 3 or chunk.shape[2] != acts:
        raise UserError(f"the policy in '{folder}' was trained elsewhere: {has}, it gives actions {chunk.shape}")
