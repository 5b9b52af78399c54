"""Reads LeRobotDatasets of codebase version 2.1 by LeRobot's own converter, into a cache, beside the original."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
from pathlib import Path

from robo_reward.errors import MissingExtra, UserError


def converted(root: Path) -> Path:
    """The folder of a v3.0 copy of the v2.1 dataset in ``root``, which stays as it is; made once, then found again.

    The cache is ``robo-reward/datasets`` under HF_HOME, by the dataset's path and the time of its ``meta/info.json``.

    Raises:
        UserError: LeRobot's converter does not accept the dataset.
    """
    info = root / "meta" / "info.json"
    known = f"{root.resolve()}:{info.stat().st_mtime_ns}"
    home = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface"))
    target = home / "robo-reward" / "datasets" / f"{root.name}-{hashlib.sha256(known.encode()).hexdigest()[:12]}"
    if not (target / "meta" / "info.json").is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        _convert(root, target)
    return target


def _convert(root: Path, target: Path) -> None:
    try:
        from lerobot.scripts.convert_dataset_v21_to_v30 import convert_dataset
    except ImportError as error:
        raise MissingExtra(error.name or "lerobot", "lerobot", f"reading the v2.1 dataset '{root}'") from error
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        linked = Path(folder) / "dataset"  # the converter works in place: it gets links, and moves those
        linked.mkdir()
        for part in root.iterdir():
            (linked / part.name).symlink_to(part.resolve())
        logging.getLogger().debug("converting '%s'", root)
        try:
            convert_dataset(f"local/{root.name}", root=linked, push_to_hub=False)
        except Exception as error:  # pandas, datasets, jsonlines and ffmpeg each raise their own
            raise UserError(
                f"LeRobot could not convert the v2.1 dataset '{root}' ({type(error).__name__}: {error}); "
                "download it again, or convert it by hand with lerobot.scripts.convert_dataset_v21_to_v30"
            ) from error
        shutil.rmtree(target, ignore_errors=True)
        os.replace(linked, target)
