"""``fit adapt_from=FOLDER``: which of the command line's settings a saved model takes, and what it rehearses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_reward.errors import UserError
from robo_reward.fitting.unread_settings import GROUP, unread_settings

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from robo_reward.fitting.episodes import Episode
    from robo_reward.fitting.splits import StoredSplit


def take_up(cfg: DictConfig) -> None:
    """With ``adapt_from`` the model is the saved one, but for the settings that were given with it.

    Raises:
        UserError: ``rehearse`` without it, another reward_model=NAME than was saved, or a setting that adapting does
            not change; it names the words.
    """
    if cfg.adapt_from is None:
        if cfg.rehearse is not None:
            raise UserError(f"rehearse={cfg.rehearse} goes with adapt_from=FOLDER: without it, add them to data=[...]")
        return
    from omegaconf import OmegaConf, open_dict

    from robo_reward.build import trusted_by

    trust = list(cfg.reward_model.get("trust") or [])
    recipe = _recipe(Path(str(cfg.adapt_from)), trusted_by(cfg.reward_model))
    changes = dict(_changes(cfg, recipe))
    named = OmegaConf.to_container(cfg.reward_model, resolve=True)
    for line in unread_settings(named, recipe, changes):
        print(f"{line}; give on the command line what is to change ({_listed(recipe)} can)", flush=True)
    with open_dict(cfg):
        held = {"path": str(cfg.adapt_from), "changes": changes} | ({"trust": trust} if trust else {})
        cfg.reward_model = OmegaConf.create(held)


def rehearsed(cfg: DictConfig, views: Sequence[str], new: Sequence[Episode]) -> list[Episode]:
    """The episodes of ``rehearse``; none without it.

    Raises:
        UserError: one of them is among the ``new`` ones too.
    """
    from omegaconf import ListConfig

    from robo_reward.data.datasets import read_dataset
    from robo_reward.fitting.episodes import Episode, check_demonstrations, check_pictures

    if cfg.rehearse is None:
        return []
    sources = [str(s) for s in cfg.rehearse] if isinstance(cfg.rehearse, ListConfig) else [str(cfg.rehearse)]
    old = [Episode(t, source, k) for source in sources for k, t in enumerate(read_dataset(source, views=views))]
    known = {episode.video: episode for episode in new}
    for episode in old:
        if episode.video in known:
            raise UserError(
                f"episode {episode.number} of rehearse={episode.origin} is episode {known[episode.video].number} of "
                f"{known[episode.video].origin}: an episode is either new or rehearsed, leave it out of one of them"
            )
    check_demonstrations([*old, *new])
    check_pictures(old, views)
    return old


def saved_split(cfg: DictConfig) -> StoredSplit | None:
    """What the model of ``adapt_from`` was fitted on and not; None without one, or where nobody noted it.

    Raises:
        UserError: its ``split.json`` is damaged.
    """
    from robo_reward.build import model_folder
    from robo_reward.fitting.splits import FILE, read_split

    if cfg.adapt_from is None:
        return None
    path = model_folder(Path(str(cfg.adapt_from))) / FILE
    return read_split(path) if path.is_file() else None


def without_held_out(old: Sequence[Episode], stored: Sequence[StoredSplit]) -> list[Episode]:
    """Of the episodes to rehearse those that no earlier fit held out; says how many stay out.

    Raises:
        UserError: all of them do.
    """
    from robo_reward.fitting.splits import decided

    kept = [episode for episode in old if not decided(episode, stored)]
    if old and not kept:
        raise UserError(
            f"all {len(old)} episode(s) of rehearse were held out before, and stay so: rehearse what was fitted on"
        )
    if len(kept) < len(old):
        print(f"{len(old) - len(kept)} of {len(old)} episode(s) of rehearse stay out: they were held out before")
    return kept


def _recipe(folder: Path, trust: Sequence[str]) -> Any:
    from robo_reward.build import MODEL_YAML, model_folder, read_recipe
    from robo_reward.trust import check_recipe

    file = model_folder(folder) / MODEL_YAML
    recipe = read_recipe(file)
    check_recipe(recipe, file, "robo_reward.reward_models", trust)
    return recipe


def _changes(cfg: DictConfig, recipe: Any) -> Iterator[tuple[str, Any]]:
    """The settings that the command line gives and the saved class takes, as (``fit.steps``, 100)."""
    from omegaconf import OmegaConf

    may = _adaptable(recipe)
    named = OmegaConf.to_container(cfg.reward_model, resolve=True)
    for word, key in _words():
        first, _, setting = key.partition(".")
        if first == GROUP and not setting:
            if _parts(named) != _parts(recipe):
                raise UserError(
                    f"adapt_from={cfg.adapt_from} holds a {_name(recipe)} of other parts than {word} names: leave "
                    f"{word} out, the saved model says itself what it is"
                )
        elif first == GROUP and setting != "trust":
            if setting.split(".")[0] not in may or word.startswith("~"):
                raise UserError(
                    f"{word} would change nothing: with adapt_from the saved model keeps its own {GROUP}.{setting}. "
                    f"Leave it out, or fit anew without adapt_from. Settings that adapting takes: {_listed(recipe)}"
                )
            yield setting, OmegaConf.select(OmegaConf.create(named), setting)
        elif (first != GROUP and key.startswith((f"{GROUP}/", f"{GROUP}@"))) or f"@{GROUP}" in key:
            raise UserError(
                f"{word} would change nothing: with adapt_from the saved model keeps its parts; leave it out"
            )


def _adaptable(recipe: Any) -> tuple[str, ...]:
    from hydra.utils import get_object

    return tuple(getattr(get_object(recipe["_target_"]), "adaptable_settings", ()))


def _listed(recipe: Any) -> str:
    return ", ".join(f"{GROUP}.{name}" for name in _adaptable(recipe)) or "none"


def _words() -> Iterator[tuple[str, str]]:
    """Each override of the command line with the key that it is about."""
    from hydra.core.hydra_config import HydraConfig

    for word in map(str, HydraConfig.get().overrides.task) if HydraConfig.initialized() else ():
        yield word, word.partition("=")[0].lstrip("+~")


def _parts(recipe: Any) -> set[str]:
    """The classes that a recipe is built of."""
    if isinstance(recipe, list):
        return set().union(*map(_parts, recipe))
    if not isinstance(recipe, dict):
        return set()
    own = {str(recipe["_target_"])} if "_target_" in recipe else set()
    return own.union(*map(_parts, recipe.values()))


def _name(recipe: Any) -> str:
    return str(recipe["_target_"]).rpartition(".")[2]
