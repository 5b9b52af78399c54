"""Finds hf-libero and its assets and sets both up without a question on the terminal or a file left behind."""

from __future__ import annotations

import atexit
import functools
import importlib
import importlib.util
import json
import logging
import multiprocessing
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robo_reward.envs.rendering import choose_renderer
from robo_reward.errors import MissingExtra, UserError

VARIABLE = "ROBO_REWARD_LIBERO_ASSETS"
CONFIG_VARIABLE = "LIBERO_CONFIG_PATH"
ASSETS_REPOSITORY = "lerobot/libero-assets"
PARTS = ("articulated_objects", "scenes", "stable_hope_objects", "stable_scanned_objects", "textures")
"""Folders that every copy of the assets has."""


@dataclass(frozen=True, slots=True)
class Assets:
    """Where scenes and objects are read from. ``stand_ins``: files that replace the published ones, () for none."""

    folder: Path
    origin: str
    stand_ins: tuple[str, ...] = ()

    def __str__(self) -> str:
        marked = f", {len(self.stand_ins)} stand-in visuals" if self.stand_ins else ""
        return f"LIBERO assets: {self.folder} ({self.origin}{marked})"


def package_folder() -> Path:
    """The installed ``libero/libero`` folder, found without importing it. MissingExtra where it is absent."""
    if sys.platform != "linux":
        raise UserError(f"LIBERO runs on Linux only (its renderer is EGL or OSMesa), this is {sys.platform}")
    spec = importlib.util.find_spec("libero")
    if spec is None or spec.origin is None or importlib.util.find_spec("robosuite") is None:
        raise MissingExtra("hf-libero", "libero", "the LIBERO benchmark")
    return Path(spec.origin).parent / "libero"


def find_assets() -> Assets:
    """``ROBO_REWARD_LIBERO_ASSETS``, else a local copy, else the hub's, downloaded once.

    Raises:
        UserError: the variable names a folder without assets, or nothing is here and the hub cannot be reached.
    """
    found = local_assets()
    return _described(_download(), f"downloaded from {ASSETS_REPOSITORY}") if found is None else found


def local_assets() -> Assets | None:
    """As ``find_assets``, but nothing is downloaded: None where there are none."""
    named = os.environ.get(VARIABLE)
    if named:
        return _described(_checked(Path(named).expanduser()), VARIABLE)
    for folder in (package_folder() / "assets", _download_folder()):
        if all((folder / part).is_dir() for part in PARTS):
            return _described(folder, "local copy")
    return None


def import_libero() -> tuple[Any, Assets]:
    """hf-libero's ``env_wrapper`` module and the assets it will read; the first call sets both up and names them."""
    assets = find_assets()
    if assets not in _announced and multiprocessing.parent_process() is None:
        _announced.append(assets)
        print(assets, flush=True)
    choose_renderer()
    configure()
    for noisy in ("robosuite_logs", "robosuite"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    module: Any = importlib.import_module("libero.libero")
    module._assets_path_cache = str(assets.folder)
    return importlib.import_module("libero.libero.envs.env_wrapper"), assets


def configure() -> None:
    """Gives hf-libero a config.yaml for this process and its children where there is none; else it asks for one."""
    if "libero.libero" not in sys.modules and not _config_file().is_file():
        os.environ[CONFIG_VARIABLE] = _temporary_config(package_folder())


_announced: list[Assets] = []


def _checked(folder: Path) -> Path:
    missing = [part for part in PARTS if not (folder / part).is_dir()]
    if missing:
        what = "is no folder" if not folder.is_dir() else f"has no folder '{missing[0]}'"
        raise UserError(
            f"{VARIABLE}={folder} {what}; set it to a copy of huggingface.co/datasets/{ASSETS_REPOSITORY} "
            "(the folder that holds scenes/ and articulated_objects/), or unset it to download one"
        )
    return folder


def _described(folder: Path, origin: str) -> Assets:
    """A pack's manifest.json names the files that are not the published ones."""
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        return Assets(folder, origin)
    try:
        stand_ins = json.loads(manifest.read_text("utf-8")).get("stand_ins", {})
        return Assets(folder, origin, tuple(sorted(stand_ins)))
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(f"'{manifest}' cannot be read as the assets' list of stand-ins: {error}") from error


def _download_folder() -> Path:
    """Where hf-libero itself looks for what it downloaded."""
    return Path.home() / ".cache" / "libero" / "assets"


def _download() -> Path:
    from huggingface_hub import snapshot_download

    folder = _download_folder()
    try:
        snapshot_download(ASSETS_REPOSITORY, repo_type="dataset", local_dir=folder)
    except Exception as error:  # the hub's client raises errors of a dozen kinds
        raise UserError(
            f"LIBERO's assets are not on this machine and '{ASSETS_REPOSITORY}' could not be downloaded "
            f"({type(error).__name__}); set {VARIABLE}=FOLDER to a copy of it, or run once with internet access"
        ) from error
    return _checked_download(folder)


def _checked_download(folder: Path) -> Path:
    missing = [part for part in PARTS if not (folder / part).is_dir()]
    if missing:
        raise UserError(f"the download in '{folder}' has no '{missing[0]}'; delete the folder and run again")
    return folder


def _config_file() -> Path:
    return Path(os.environ.get(CONFIG_VARIABLE) or Path.home() / ".libero") / "config.yaml"


@functools.cache
def _temporary_config(root: Path) -> str:
    """hf-libero asks on the terminal unless its config.yaml exists; this one lives as long as the process."""
    folder = Path(tempfile.mkdtemp(prefix="robo-reward-libero-"))
    places = {
        "benchmark_root": root,
        "bddl_files": root / "bddl_files",
        "init_states": root / "init_files",
        "datasets": root.parent / "datasets",
        "assets": root / "assets",
    }
    (folder / "config.yaml").write_text("".join(f"{k}: {json.dumps(str(v))}\n" for k, v in places.items()), "utf-8")
    owner = os.getpid()
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == owner else None)
    return str(folder)
