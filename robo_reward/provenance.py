"""Whether the simulator's own reward or success is in a policy that a run goes on from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robo_reward.errors import UserError
from robo_reward.runs.folder import read_summary

UP = 3
"""How many folders a policy lies below its run at most: RUN/policy/base/pretrained_model (learner=dsrl) has three."""
Used = tuple[bool, bool]
"""The simulator's reward, and its success."""


def oracle_before(path: str | None) -> Used:
    """(reward, success): what the run in which the policy ``path`` lies says it used; False of what lies in no run.

    A run notes its own start's word along with its own, so that the whole way to a policy is told by its last run. One
    that was killed, or is running, has not noted it yet: then its config tells, and what it leaves open counts as used.

    Raises:
        UserError: the summary or the config there is damaged.
    """
    if path is None or not Path(path).exists():
        return False, False
    start = Path(path).resolve()
    run = next((folder for folder in (start, *start.parents[:UP]) if _is_run(folder)), None)
    if run is None:
        return False, False
    said = read_summary(run) if (run / "summary.json").is_file() else {}
    reward, success = said.get("used_env_reward"), said.get("used_env_success")
    return _by_config(run) if reward is None or success is None else (bool(reward), bool(success))


def starts_of(config: Mapping[str, Any]) -> list[str]:
    """Where the policies lie that a run goes on from: those of ``policy``, of ``learner=ppo``, and ``adapt``'s run."""
    groups = (config.get("policy"), config.get("learner"))
    policy, learner = (group if isinstance(group, Mapping) else {} for group in groups)
    named = (policy.get("path"), learner.get("start"), config.get("run"))
    return [path for path in named if isinstance(path, str) and path]  # an arm's start is a pose


def _is_run(folder: Path) -> bool:
    """Whether it is a run's, finished or not: a config alone is anybody's."""
    return (folder / "config.yaml").is_file() and any(
        (folder / name).is_file() for name in ("summary.json", "metrics.jsonl")
    )


def _by_config(run: Path) -> Used:
    """What the config of a run tells of its reward and of what the run began with."""
    config = _config_of(run)
    used = [_of_reward(run, config.get("reward_model")), *(_of_start(run, start) for start in starts_of(config))]
    return any(reward for reward, _ in used), any(success for _, success in used)


def _of_reward(run: Path, settings: Any) -> Used:
    """What the settings of a reward model tell; of a server's, or one that is not ours, nobody knows."""
    if not isinstance(settings, Mapping) or not settings.get("_target_"):
        return False, False
    saved, changes = settings.get("path"), settings.get("changes") or {}
    if saved is not None or "oracle" in settings:
        said = {changes.get("oracle", settings.get("oracle", "none"))}
        said |= set() if saved is None else {_saved_oracle(run, saved)}
        return bool(said & {"reward", None}), bool(said & {"success", None})
    unknown = not str(settings["_target_"]).startswith("robo_reward.") or settings.get("address") is not None
    return unknown, unknown


def _saved_oracle(run: Path, path: str) -> str | None:
    """The simulator's signal that a saved reward uses, as its yaml says; None where there is none (any more).

    A relative path is looked for as ``_of_start`` does.
    """
    from robo_reward.build import MODEL_YAML, read_recipe

    places = [place / path for place in (Path(), *run.parents)]
    files = (below / MODEL_YAML for place in places for below in (place, place / "reward_model"))
    file = next((file for file in files if file.is_file()), None)
    recipe = None if file is None else read_recipe(file)
    if not isinstance(recipe, Mapping) or not isinstance(recipe.get("_target_"), str):
        return None
    return str(recipe.get("oracle", "none"))


def _of_start(run: Path, start: str) -> Used:
    """As ``oracle_before``, of what an unfinished run began with; nobody knows of a folder that is gone.

    A relative one is looked for from here and from every folder above the run, for it may have been started elsewhere.
    """
    found = next((place for above in (Path(), *run.parents) if (place := above / start).exists()), None)
    if found is not None:
        return (True, True) if found.resolve().is_relative_to(run) else oracle_before(str(found))
    gone = Path(start).is_absolute() or start.count("/") != 1 or start.startswith("runs/")  # owner/name is a hub id
    return gone, gone


def _config_of(run: Path) -> Mapping[str, Any]:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        held: Any = OmegaConf.to_container(OmegaConf.load(run / "config.yaml"))
    except (YAMLError, OSError, ValueError, OmegaConfBaseException) as error:
        raise UserError(
            f"'{run / 'config.yaml'}' cannot be read ({' '.join(str(error).split())}), which would tell what the "
            "policy below it was trained with: put a copy of it there, or copy the policy out of that folder"
        ) from error
    return held if isinstance(held, dict) else {}
