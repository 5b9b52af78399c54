"""Finds a LeRobotDataset v3 in a folder or on the hub and knows what is in it, without loading LeRobot."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robo_reward.data.dataset_info import check_info, inside
from robo_reward.data.old_datasets import converted
from robo_reward.errors import UserError, unknown_name

VIEW_PREFIX = "observation.images."
AGE = "picture_age"
"""The column that says how many steps ago a frame's pictures were taken, in datasets that hold pictures."""
PLACES = "simulator.places"
"""The column of where a simulator says that things are, in metres."""
POINTS = "simulator.points"
"""The column of where pictures show those places, as shares from left and top; its names are <view>.<place>.<x or y>.

One for all views: LeRobot takes every key with ``image`` in it for a picture's.
"""
VERSION = "v3.0"


@dataclass(frozen=True, slots=True)
class DatasetSource:
    """An opened dataset: its folder, ``meta/info.json`` and one row per episode.

    ``tasks``: task index -> instruction. ``hub_id`` is None for a local folder; data of a hub dataset is
    fetched by ``need``.
    """

    name: str
    root: Path
    info: Mapping[str, Any]
    episodes: Sequence[Mapping[str, Any]]
    tasks: Mapping[int, str]
    hub_id: str | None = None

    @property
    def fps(self) -> float:
        """Frames per second."""
        return float(self.info["fps"])

    @property
    def features(self) -> Mapping[str, Mapping[str, Any]]:
        """Key -> dtype, shape and names, as LeRobot describes them."""
        features: Mapping[str, Mapping[str, Any]] = self.info["features"]
        return features

    def image_keys(self) -> dict[str, str]:
        """View name -> feature key, of every picture in the dataset."""
        keys = [k for k, f in self.features.items() if f["dtype"] in ("video", "image")]
        return {key.removeprefix(VIEW_PREFIX): key for key in keys}

    def point_columns(self) -> dict[str, list[int]]:
        """View -> its columns of ``POINTS``, x and y by turns; none where the dataset has no points.

        Raises:
            UserError: the columns are not named as they should be.
        """
        if POINTS not in self.features:
            return {}
        names = [str(name) for name in self.features[POINTS].get("names") or ()]
        found: dict[str, list[int]] = {}
        for column, name in enumerate(names):
            found.setdefault(name.rsplit(".", 2)[0], []).append(column)
        if [len(names)] != list(self.features[POINTS]["shape"]) or any(len(of) % 2 for of in found.values()):
            raise UserError(f"dataset '{self.name}' is damaged: {POINTS} is not of pairs, its names are {names}")
        return found

    def choose_views(self, views: Sequence[str] | None) -> dict[str, str]:
        """View name -> feature key for the asked views (all with None).

        Raises:
            UserError: a view that the dataset does not have.
        """
        known = self.image_keys()
        if views and not known:
            raise UserError(f"dataset '{self.name}' has no pictures, so there is no view '{views[0]}'")
        for view in views or ():
            if view not in known:
                raise unknown_name(f"view of dataset '{self.name}'", view, known)
        return known if views is None else {view: known[view] for view in views}

    def require(self, keys: Iterable[str]) -> None:
        """Raises a UserError that lists what there is, if a key is missing."""
        missing = [key for key in keys if key not in self.features]
        if missing:
            raise UserError(
                f"dataset '{self.name}' lacks the key '{missing[0]}'; it has "
                f"{', '.join(sorted(self.features))} "
                f"(views: {', '.join(sorted(self.image_keys())) or 'none'})"
            )

    def path(self, template: str, row: Mapping[str, Any], prefix: str, **names: str) -> Path:
        """The file that a row of ``episodes`` names; ``prefix`` is ``data`` or ``videos/<key>``."""
        try:
            chunk, file = int(row[f"{prefix}/chunk_index"]), int(row[f"{prefix}/file_index"])
            found = str(self.info[template]).format(chunk_index=chunk, file_index=file, **names)
        except (KeyError, TypeError, ValueError) as error:
            number = row.get("episode_index")
            raise UserError(
                f"dataset '{self.name}' is damaged: nothing says where {prefix} of episode {number} lies ({error!r})"
            ) from error
        return inside(self.root, found, self.name)

    def need(self, paths: Iterable[Path]) -> None:
        """Makes sure that the files are on this machine: downloads them from the hub, or says which one is
        missing."""
        absent = sorted({path.relative_to(self.root).as_posix() for path in paths if not path.exists()})
        if absent and self.hub_id is not None:
            _download(self.hub_id, absent)
        for name in absent:
            if not (self.root / name).exists():
                raise UserError(f"dataset '{self.name}' is incomplete: '{self.root / name}' is missing; copy it again")


def one_dataset(data: Any) -> str:
    """What the key ``data`` of a verb names, for verbs that read one dataset: a local folder or a hub id.

    Raises:
        UserError: it names several, or none.
    """
    if isinstance(data, str | Path):
        return str(data)
    named = [str(name) for name in data] if isinstance(data, Sequence) else [str(data)]
    if len(named) != 1:
        raise UserError(
            f"data=[{','.join(named)}] names {len(named)} datasets, and this verb takes one: give data=FOLDER "
            "(only robo-reward fit takes several)"
        )
    return named[0]


def open_dataset(path_or_hub_id: str | Path) -> DatasetSource:
    """Opens a local folder or a hub id (``owner/name``); only the metadata are read.

    A local folder of codebase version 2.1 is converted by LeRobot's own converter first, into a cache.

    Raises:
        UserError: neither exists, not a LeRobotDataset, another codebase version, or zero episodes.
    """
    name = str(path_or_hub_id)
    root, hub_id = _locate(name)
    info_path = root / "meta" / "info.json"
    if not info_path.is_file():
        raise UserError(
            f"'{name}' is not a LeRobotDataset: it has no meta/info.json; give the dataset's own folder or its hub id"
        )
    try:
        info = json.loads(info_path.read_text("utf-8"))
        version = str(info["codebase_version"])
        if version == "v2.1" and hub_id is None:
            root = converted(root)
            info = json.loads((root / "meta" / "info.json").read_text("utf-8"))
        else:
            _check_version(name, version)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"'{info_path}' is damaged ({error!r}); copy or download the dataset again") from error
    check_info(info, info_path)
    if int(info.get("total_episodes", 0)) < 1:
        raise UserError(f"dataset '{name}' has zero episodes; record at least one (robo-reward collect ...)")
    return DatasetSource(name, root, info, _episodes(name, root), _tasks(name, root), hub_id)


def read_table(path: Path, columns: Sequence[str] | None = None) -> Any:
    """A parquet file as a pyarrow table.

    Raises:
        UserError: the file is damaged, or lacks one of the columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        known = set(pq.read_schema(path).names)
        if absent := [name for name in columns or () if name not in known]:
            raise UserError(f"'{path}' has no column '{absent[0]}', which meta/info.json names: the dataset is damaged")
        return pq.read_table(path, columns=None if columns is None else list(columns))
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"'{path}' cannot be read as parquet ({error}); copy or download the dataset again") from error


def _locate(name: str) -> tuple[Path, str | None]:
    if Path(name).is_dir():
        return Path(name), None
    if Path(name).exists():
        raise UserError(f"'{name}' is a file; a dataset is a folder (for a video file use video={name})")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name) or name.startswith("."):
        raise UserError(f"there is no dataset folder '{name}', and it is not a hub id such as 'lerobot/pusht'")
    cache = Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface")) / "lerobot"
    recorded = Path(os.environ.get("HF_LEROBOT_HOME", cache)) / name
    if (recorded / "meta" / "info.json").is_file():
        return recorded, None
    return _download(name, ["meta/**"]), name


def _download(hub_id: str, patterns: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RevisionNotFoundError

    try:
        try:
            root = snapshot_download(hub_id, repo_type="dataset", revision=VERSION, allow_patterns=list(patterns))
        except RevisionNotFoundError:  # the version tag is LeRobot's custom, not a rule
            root = snapshot_download(hub_id, repo_type="dataset", allow_patterns=list(patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"there is no folder '{hub_id}' here, and the hub did not give a dataset of that name: {reason} "
            "(check the name, the network, HF_HUB_OFFLINE, or log in with 'hf auth login' for a private one)"
        ) from error
    return Path(root)


def _check_version(name: str, version: str) -> None:
    if version.startswith("v3."):
        return
    if version.startswith(("v1.", "v2.")):
        raise UserError(
            f"dataset '{name}' has codebase version {version}, this reads {VERSION}; convert it with "
            f"LeRobot: python -m lerobot.scripts.convert_dataset_v21_to_v30 --repo-id={name}"
        )
    raise UserError(f"dataset '{name}' has codebase version {version}, this reads {VERSION}; update robo-reward")


def _episodes(name: str, root: Path) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = []
    for path in sorted((root / "meta" / "episodes").glob("*/*.parquet")):
        table = read_table(path)
        rows += table.select([c for c in table.column_names if not c.startswith("stats/")]).to_pylist()
    if not rows:
        raise UserError(f"dataset '{name}' is incomplete: no episode is listed in '{root / 'meta' / 'episodes'}'")
    return sorted(rows, key=lambda row: int(row["episode_index"]))


def _tasks(name: str, root: Path) -> dict[int, str]:
    path = root / "meta" / "tasks.parquet"
    if not path.is_file():
        raise UserError(f"dataset '{name}' is incomplete: '{path}' is missing; copy it again")
    table = read_table(path)
    # LeRobot keeps the instruction as the pandas index, which is named 'task' or, in older files, not at all.
    text = next((c for c in ("task", "__index_level_0__") if c in table.column_names), None)
    if text is None or "task_index" not in table.column_names:
        raise UserError(f"'{path}' names no instruction (columns: {', '.join(table.column_names)})")
    return dict(zip(table["task_index"].to_pylist(), map(str, table[text].to_pylist()), strict=True))
