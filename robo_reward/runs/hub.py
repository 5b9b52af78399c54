"""Saved models on the Hugging Face hub: safetensors, JSON, yaml and the card; nothing pickled goes up or comes down."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from robo_reward.errors import UserError
from robo_reward.runs.model_card import public_name

PATTERNS = ("*.safetensors", "*.json", "*.yaml", "*.md")
RECORDS, ORIGINS = ("split.json", "audit.json"), ("origin", "data")
"""Files that name datasets, and their keys that do."""


def is_hub_id(name: str) -> bool:
    """Whether ``name`` could be ``owner/name`` and is nothing on this machine, nor what a run on it might have held."""
    here = Path(name).exists() or (Path(name).parent / "config.yaml").is_file()
    return not here and re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name) is not None


def push_model(folder: Path, hub_id: str, private: bool = True) -> str:
    """Uploads a saved reward model and returns its address; the repository is made where there is none.

    ``split.json`` and ``audit.json`` name datasets there without the folders of this machine; here they stay as they
    are.

    Raises:
        UserError: not an ``owner/name``, no saved model in ``folder``, a damaged record, or what the hub answered.
    """
    from huggingface_hub import HfApi

    check_hub_id(hub_id)
    if not (folder / "model.yaml").is_file():
        raise UserError(f"'{folder}' holds no reward model (no model.yaml), so there is nothing to push")
    api = HfApi()
    with _public(folder) as shown, _hub_errors(f"'{folder}' is saved, but was not pushed to '{hub_id}'"):
        api.create_repo(hub_id, private=private, exist_ok=True, repo_type="model")
        api.upload_folder(
            repo_id=hub_id,
            folder_path=shown,
            repo_type="model",
            allow_patterns=list(PATTERNS),
            commit_message="Upload reward model, split, audit and card",
        )
    return f"https://huggingface.co/{hub_id}"


def fetch_model(hub_id: str, revision: str | None = None) -> Path:
    """Downloads a saved model, or finds it in the hub's cache; returns its folder.

    Raises:
        UserError: offline and not in the cache, no such repository, or no access.
    """
    from huggingface_hub import snapshot_download

    with _hub_errors(f"there is no folder '{hub_id}' here, and the hub did not give a model of that name"):
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=list(PATTERNS)))


def check_hub_id(hub_id: str) -> None:
    """UserError unless ``hub_id`` is ``owner/name``."""
    if re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", hub_id) is None:
        raise UserError(f"push_to_hub={hub_id} must be OWNER/NAME, e.g. push_to_hub=me/drawer-reward")


@contextmanager
def _public(folder: Path) -> Iterator[Path]:
    """A folder of links to what goes up, with copies of the records that name datasets."""
    with TemporaryDirectory() as scratch:
        shown = Path(scratch)
        for path in (p for p in sorted(folder.rglob("*")) if p.is_file()):
            name = path.relative_to(folder).as_posix()
            if any(fnmatch(name, pattern) for pattern in PATTERNS):
                target = shown / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if name in RECORDS:
                    target.write_text(json.dumps(_without_folders(_record(path)), indent=2) + "\n", "utf-8")
                else:
                    _link(path.resolve(), target)
        yield shown


def _link(path: Path, target: Path) -> None:
    try:
        target.symlink_to(path)
    except OSError:  # where links need a permission
        shutil.copyfile(path, target)


def _record(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is damaged ({error!r}): mend or delete it before pushing") from error


def _without_folders(held: Any) -> Any:
    if isinstance(held, list):
        return [_without_folders(value) for value in held]
    if not isinstance(held, dict):
        return held
    return {
        key: public_name(value) if key in ORIGINS and isinstance(value, str) else _without_folders(value)
        for key, value in held.items()
    }


@contextmanager
def _hub_errors(what: str) -> Iterator[None]:
    from httpx import HTTPError
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        yield
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, HTTPError, OSError) as error:
        lines = str(error).strip().splitlines()
        raise UserError(
            f"{what}: {lines[0] if lines else type(error).__name__} (check the name, the network, HF_HUB_OFFLINE, "
            "or log in with 'hf auth login')"
        ) from error
