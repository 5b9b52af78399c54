"""The language model that a policy builds on: shipped with its checkpoint, and told where nobody has it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from robo_reward.errors import UserError
from robo_reward.runs import atomic

LANGUAGE_MODEL = "vlm"
"""Folder inside a checkpoint with the settings and tokenizer of a language model that was a local folder."""


@contextmanager
def models_found(config: Any, path: str | Path) -> Iterator[None]:
    """Inside, a checkpoint is read, and what it builds on is fetched.

    Raises:
        UserError: neither cache nor hub has that.
    """
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        yield
    except OSError as error:
        own = isinstance(error, FileNotFoundError) and not isinstance(error, LocalEntryNotFoundError)
        if own or error.filename is not None:  # a file of the checkpoint itself
            raise
        said = " ".join(str(error).split()).rstrip(".")
        named = getattr(config, "vlm_model_name", None)
        raise UserError(
            f"the {config.type} policy in '{path}' builds on {f"'{named}'" if named else 'a model'}, which neither the "
            f"cache nor the hub has ({said}): load it once with a network, or use a checkpoint that brings it along"
        ) from error


def ship_language_model(config: Any, folder: Path, final: Path) -> None:
    """Copies settings and tokenizer of a local language model: a checkpoint must not need a folder elsewhere.

    ``final``: where ``folder`` will lie; LeRobot's own programs look for the copy there, ours wherever it is moved to.
    """
    named = getattr(config, "vlm_model_name", None)
    if not named or not Path(named).is_dir():
        return
    (folder / LANGUAGE_MODEL).mkdir()
    for file in Path(named).iterdir():
        if file.suffix in (".json", ".txt", ".model", ".jinja") and "index" not in file.name:
            shutil.copyfile(file, folder / LANGUAGE_MODEL / file.name)
    place = str(final / LANGUAGE_MODEL)
    settings = json.loads((folder / "config.json").read_text("utf-8"))
    settings |= {"vlm_model_name": place, "load_vlm_weights": False}  # the weights are in the checkpoint already
    atomic.write_text(folder / "config.json", json.dumps(settings, indent=4))
    steps = json.loads((folder / "policy_preprocessor.json").read_text("utf-8"))
    for step in steps["steps"]:
        if step.get("registry_name") == "tokenizer_processor":
            step["config"]["tokenizer_name"] = place
    atomic.write_text(folder / "policy_preprocessor.json", json.dumps(steps, indent=2))


def use_shipped(config: Any, path: Path) -> None:
    """Points a checkpoint at the language model inside it; its weights are in the checkpoint already."""
    if (path / LANGUAGE_MODEL).is_dir() and hasattr(config, "vlm_model_name"):
        config.vlm_model_name = str(path / LANGUAGE_MODEL)
        if hasattr(config, "load_vlm_weights"):
            config.load_vlm_weights = False
