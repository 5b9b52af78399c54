"""What a saved reward model is made of beyond its folder: its class's code, files it names, what answers elsewhere."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from robo_reward.errors import UserError
from robo_reward.runs.hub import is_hub_id
from robo_reward.trust import OURS

ADDRESSES = ("url", "address")
"""Settings that say where a model's answers come from."""
FETCHED = ("path", "pretrained", "model", "stats")
"""Settings that name a folder or file, or what is fetched from the hub."""
MOST_FILES = 2000
"""Of one folder that a recipe names; further ones, in the order of their names, are not looked at."""
DEEPEST = 8
"""Saved models that name saved models."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What lies elsewhere.

    ``places``: files and folders on this machine, in the recipe's order, each once, with the suffix of the files that
    count; ``elsewhere``: addresses and names on the hub, behind which anything may change unseen.
    """

    places: dict[Path, str] = field(default_factory=dict)
    elsewhere: dict[str, None] = field(default_factory=dict)

    def files(self, folder: Path) -> Iterator[tuple[str, Path]]:
        """(Name, file) of every file of the places; of packages their Python files. Nothing that lies in ``folder``."""
        own = folder.resolve()
        for number, (place, suffix) in enumerate(self.places.items()):
            if place.resolve() == own:
                continue
            if place.is_file():
                yield f"{number}/{place.name}", place
            for path in islice(_below(place, suffix, own), MOST_FILES):
                yield f"{number}/{path.relative_to(place).as_posix()}", path


def parts_of(folder: Path) -> Parts:
    """Of the saved model in ``folder``; nothing where its yaml cannot be read. Imports nothing that the yaml names."""
    found = Parts()
    _look_into(folder, found, DEEPEST)
    return found


def _look_into(folder: Path, found: Parts, left: int) -> None:
    from robo_reward.build import MODEL_YAML, read_recipe

    if left and (folder / MODEL_YAML).is_file():
        try:
            recipe = read_recipe(folder / MODEL_YAML)
        except UserError:
            return
        _look_at(recipe, "", found, left)


def _look_at(node: Any, key: str, found: Parts, left: int) -> None:
    if isinstance(node, dict):
        for name, value in node.items():
            _look_at(value, str(name), found, left)
    elif isinstance(node, list):
        for value in node:
            _look_at(value, key, found, left)
    elif isinstance(node, str) and node:
        _note(node, key, found, left)


def _note(text: str, key: str, found: Parts, left: int) -> None:
    if key == "_target_":
        found.places.update({code: ".py" for code in _code_of(text) if code not in found.places})
    elif key in ADDRESSES:
        found.elsewhere[text] = None
    elif (place := _place(text, key)) is not None:
        model = next((p for p in (place, place / "reward_model") if (p / "model.yaml").is_file()), place)
        if model not in found.places:
            found.places[model] = ""
            _look_into(model, found, left - 1)
    elif key in FETCHED and is_hub_id(text):
        found.elsewhere[text] = None


def _place(text: str, key: str) -> Path | None:
    """What a setting names on this machine. A bare word is no path, unless its setting asks for one."""
    for name in (text, text.partition("/")[2] if ":" in text else ""):  # timm:<model>/<checkpoint>
        if name and (os.sep in name or key in FETCHED) and os.path.exists(name):
            return Path(name)
    return None


def _code_of(target: str) -> list[Path]:
    """The file or package of a class that is not ours; top-level names are found without importing them."""
    top = target.partition(".")[0]
    if top == OURS:
        return []
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return []
    if spec is None:
        return []
    packages = [Path(place) for place in spec.submodule_search_locations or ()]
    return packages or ([Path(spec.origin)] if spec.has_location and spec.origin else [])


def _below(place: Path, suffix: str, own: Path) -> Iterator[Path]:
    """Files in a folder, by name, without hidden ones, caches and the folder ``own``."""
    for here, folders, files in os.walk(place):
        shown = (name for name in folders if name[0] != "." and name != "__pycache__")
        folders[:] = sorted(name for name in shown if (Path(here) / name).resolve() != own)
        for name in sorted(files):
            path = Path(here) / name
            if name[0] != "." and name.endswith(suffix) and path.is_file():
                yield path
