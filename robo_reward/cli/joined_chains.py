"""``transform=[a,b]``: the chain of a, then that of b; of the other groups one has to be chosen.

Hydra takes a list for every group and lays the yaml files over each other, which replaces lists: of two chains only the
last would be left, without a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from robo_reward.cli.help_pages import chosen_groups, configs_folder
from robo_reward.errors import UserError, unknown_name

JOINED = "transform"
MEANT_TO_LIE_OVER_EACH_OTHER = "experiment"


def joined(verb: str, words: Sequence[str], config_dir: str | None = None) -> list[str]:
    """The overrides, with a list of transforms as one chain.

    Raises:
        UserError: an unknown transform, an empty list, or several options of a group that takes one.
    """
    groups = {group for group, _ in chosen_groups(verb)} - {MEANT_TO_LIE_OVER_EACH_OTHER}
    found: list[str] = []
    for word in words:
        listed = re.fullmatch(r"(\w+)=\[(.*)\]", word.strip(), re.DOTALL)
        if listed is None or listed[1] not in groups:
            found.append(word)
            continue
        names = [name.strip().strip("'\"") for name in listed[2].split(",") if name.strip()]
        if not names or (listed[1] != JOINED and len(names) > 1):
            raise UserError(f"{word}: choose one {listed[1]}" + (f", {listed[1]}={names[0]}" if names else ""))
        found.append(f"{listed[1]}={names[0]}")
        if len(names) > 1:
            folders = [Path(folder) / JOINED for folder in (config_dir, configs_folder()) if folder]
            found.append(f"{JOINED}.chain={_written([piece for name in names for piece in _chain(name, folders)])}")
    return found


def _chain(name: str, folders: Sequence[Path]) -> Iterator[Any]:
    """The pieces of one transform, interpolations left as they are."""
    from omegaconf import OmegaConf

    path = next((found for folder in folders if (found := folder / f"{name}.yaml").is_file()), None)
    if path is None:
        raise unknown_name(JOINED, name, {file.stem for folder in folders for file in folder.glob("*.yaml")})
    recipe: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    yield from recipe.get("chain") or []


def _written(value: Any) -> str:
    """A value in hydra's override grammar."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_written(held)}" for key, held in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)
