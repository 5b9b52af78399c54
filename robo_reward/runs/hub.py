"""Saved models on the Hugging Face hub: safetensors, JSON, yaml and the card; nothing pickled goes up or comes down."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from robo_reward.errors import UserError

PATTERNS = ("*.safetensors", "*.json", "*.yaml", "*.md")


def is_hub_id(name: str) -> bool:
    """Whether ``name`` could be ``owner/name`` and is nothing on this machine, nor what a run on it might have held."""
    here = Path(name).exists() or (Path(name).parent / "config.yaml").is_file()
    return not here and re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name) is not None


def push_model(folder: Path, hub_id: str, private: bool = True) -> str:
    """Uploads a saved reward model and returns its address; the repository is made where there is none.

    Raises:
        UserError: not an ``owner/name``, no saved model in ``folder``, or what the hub answered.
    """
    from huggingface_hub import HfApi

    check_hub_id(hub_id)
    if not (folder / "model.yaml").is_file():
        raise UserError(f"'{folder}' holds no reward model (no model.yaml), so there is nothing to push")
    api = HfApi()
    with _hub_errors(f"'{folder}' is saved, but was not pushed to '{hub_id}'"):
        api.create_repo(hub_id, private=private, exist_ok=True, repo_type="model")
        api.upload_folder(
            repo_id=hub_id,
            folder_path=folder,
            repo_type="model",
            allow_patterns=list(PATTERNS),
            commit_message="Upload reward model, split and card",
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
