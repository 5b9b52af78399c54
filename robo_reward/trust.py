"""What a recipe that came with weights (``model.yaml``, ``policy.yaml``) may build: our own classes, nothing else.

Hydra calls whatever a ``_target_`` names. In the user's own yaml that is wanted; in a folder that was downloaded it
would be running a stranger's program. So a recipe's targets must be classes of this package, or functions of it that
return one, unless the user trusts further modules by name.
"""

from __future__ import annotations

import inspect
import os
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from robo_reward.errors import UserError

OURS = "robo_reward"
POWERS = {
    "python": "wants to start the program",
    "trust": "wants to trust, in your name,",
    "trust_remote_code": "wants to run the code of the network that it names:",
    "url": "wants to send your pictures, and an API key with them, to",
    "address": "wants to send your pictures to",
    "api_key_env": "wants to send what you keep in the environment variable",
}
"""Settings of our own classes that hand control, pictures or keys on: only the user may make them."""
VARIABLE = "ROBO_REWARD_TRUST"
"""Environment variable: further modules, separated by commas, whose classes recipes may build, and single settings of
the kind above that recipes may make, as KEY=VALUE."""

LONGEST = 200
"""Letters of a value that a message shows."""


def check_recipe(recipe: Any, file: Path, wing: str, trust: Sequence[str] = ()) -> None:
    """Refuses a resolved recipe (nested dicts, lists) that names anything but classes of ``wing`` and trusted modules.

    ``wing``: the package of ours that it may build from, e.g. ``robo_reward.reward_models``. Nothing outside it is even
    imported. ``trust``: as in ``VARIABLE``, which is read too.

    Raises:
        UserError: that names the file, the target and how to trust it.
    """
    trusted = (*trust, *filter(None, os.environ.get(VARIABLE, "").split(",")))
    check_says_something(recipe, file)
    hidden = next((text for text in _texts(recipe) if "${" in text), None)
    if hidden is not None:  # hydra would resolve it after this check, into whatever it likes
        raise UserError(f"'{file}' holds an interpolation, which no saved recipe has: {hidden[:80]!r}")
    _check_nodes(recipe, file, wing, trusted)


def check_says_something(recipe: Any, file: Path) -> None:
    """Refuses what was read from ``file`` and names no class.

    Raises:
        UserError: that names the file.
    """
    if not isinstance(recipe, dict) or not isinstance(recipe.get("_target_"), str):
        raise UserError(f"'{file}' says nothing that can be built (no _target_): it is damaged, or not of robo-reward")


def powers_in(config: Any) -> list[str]:
    """What the user's own settings (nested dicts, lists) hand on, as KEY=VALUE: a saved recipe may do the same."""
    if isinstance(config, dict):
        said = [f"{key}={config[key]}" for key in POWERS if config.get(key)]
        return said + [one for value in config.values() for one in powers_in(value)]
    return [one for value in config for one in powers_in(value)] if isinstance(config, list) else []


def module_of(target: str) -> str:
    """The module of a dotted ``_target_`` of a class or function."""
    return target.rpartition(".")[0]


def _check_nodes(node: Any, file: Path, wing: str, trusted: Sequence[str], owner: str = "") -> None:
    """Every target in the tree, and every power that is claimed under a target which is not trusted."""
    if isinstance(node, list):
        for value in node:
            _check_nodes(value, file, wing, trusted, owner)
    if not isinstance(node, dict):
        return
    if "_target_" in node:
        owner = node["_target_"]
        _check_target(owner, file, wing, trusted)
    if not _made_in(owner, trusted):
        _check_powers(node, file, owner, trusted)
    for value in node.values():
        _check_nodes(value, file, wing, trusted, owner)


def _check_powers(node: dict[str, Any], file: Path, owner: str, trusted: Sequence[str]) -> None:
    if "_args_" in node:
        raise UserError(f"'{file}' gives '{owner}' values without names (_args_), which no saved recipe does: refused")
    claimed = [key for key in POWERS if node.get(key) and f"{key}={node[key]}" not in trusted]
    if claimed:
        wants = ", and ".join(f"{POWERS[key]} '{str(node[key])[:LONGEST]}' ({key})" for key in claimed)
        ways = " ".join(f"...{key}=..." for key in claimed)
        words = ",".join(
            dict.fromkeys(f"{k}={node[k]}" if isinstance(node[k], str) else module_of(owner) for k in claimed)
        )
        raise UserError(
            f"'{file}' {wants}: refused; if you trust it, say the same yourself (reward_model=NAME {ways}), or set "
            f"{VARIABLE}='{words}'"
        )


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for value in (*node, *node.values()) if isinstance(node, dict) else node:
            yield from _texts(value)


def _check_target(target: Any, file: Path, wing: str, trusted: Sequence[str]) -> None:
    if not isinstance(target, str):
        raise UserError(f"'{file}' has a _target_ that is no name: {target!r}")
    if _made_in(target, trusted) or (_made_in(target, (wing, f"{OURS}.line_world")) and _builds_ours(target)):
        return
    raise UserError(
        f"'{file}' wants to run '{target}', which is no part of {wing}: a downloaded folder could run any program "
        f"that way, so it is refused. If you know and trust it: {VARIABLE}={module_of(target) or target}"
    )


def _made_in(target: str, modules: Sequence[str]) -> bool:
    """Whether the name leads into one of the modules and to something that was defined there.

    What other modules import is reachable through them too: os.system as mine.os.system.
    """
    if not target.startswith(tuple(f"{module}." for module in modules)):
        return False  # nothing else is even imported
    home = f"{getattr(_found(target), '__module__', '')}."
    return home.startswith(tuple(f"{module}." for module in modules))


def _builds_ours(target: str) -> bool:
    """Whether the name leads to a class, or to a function that says that it returns an object of a class of ours."""
    found = _found(target)
    if inspect.isclass(found):
        return True
    try:
        made = typing.get_type_hints(found).get("return")
    except (NameError, TypeError):
        return False
    return inspect.isclass(made) and made.__module__.startswith(f"{OURS}.")


def _found(target: str) -> Any:
    """What the name leads to, None where it leads nowhere."""
    from hydra.utils import get_object

    try:
        return get_object(target)
    except Exception:  # hydra's answer to a name that does not exist, or whose module fails to import
        return None
