"""Words where a number belongs (``hook.eta=big``), null where something does: found once our code stumbled over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def wrong_word(chain: Sequence[BaseException], verb: str, words: Sequence[str]) -> str | None:
    """What to tell if an override put a word in a number's place, or null where there must be something, and the error
    is about that; None if none did.

    ``chain``: the error and its causes. ``words``: what was given behind the verb. Types are not checked before: some
    keys take a number or a word.
    """
    texts = [str(error) for error in chain if isinstance(error, TypeError | ValueError | AttributeError)]
    given = [word for word in words if "=" in word and not word.startswith(("-", "~", "+"))]
    if not texts or not given:
        return None
    defaults = _defaults(verb, [word for word in given if "." not in word.partition("=")[0]])
    for word in given:
        key, _, value = word.partition("=")
        default = _select(defaults, key)
        if value == "null" and default is not None and any("NoneType" in text for text in texts):
            return f"{key}=null must be something (the default is {default})"
        if isinstance(default, bool) or not isinstance(default, int | float):
            continue
        about = any("'str'" in text or f"'{value}'" in text for text in texts)
        if about and _is_word(value):
            return f"{key}={value} must be a number (the default is {default})"
    return None


def _is_word(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return value not in ("null", "true", "false")
    return False


def _defaults(verb: str, choices: Sequence[str]) -> Any:
    """The config with the chosen groups and nothing else changed; None if that cannot be had."""
    from hydra import compose, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException

    from robo_reward.cli.help_pages import chosen_groups

    groups = {group for group, _ in chosen_groups(verb)}
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("robo_reward.configs", version_base="1.3"):
            return compose(verb, [word for word in choices if word.partition("=")[0] in groups])
    except HydraException:
        return None


def _select(config: Any, key: str) -> Any:
    from omegaconf import OmegaConf

    return None if config is None else OmegaConf.select(config, key, throw_on_resolution_failure=False)
