"""Where sub-tasks of an episode end: in the columns of ``meta/episodes`` in which LeRobot keeps its own annotations.

``lerobot.data_processing.sarm_annotations`` writes them and LeRobot's SARM reads them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robo_reward.data.dataset_source import read_table
from robo_reward.trace import KEYFRAME

ENDS = "subtask_end_frames"
PREFIXES = ("", "sparse_", "dense_")
"""Of LeRobot's kinds of annotation; the first one that has two sub-tasks or more is read."""


def read_keyframes(row: Mapping[str, Any], where: str) -> dict[str, float]:
    """``Trace.meta`` entries: the last frame of every sub-task but the last of a row of ``meta/episodes``.

    Empty where the episode is not annotated, or as one sub-task. ``where`` names the episode in warnings: what is not
    frames of it in order is left out, as LeRobot's tool may round an end past the last frame.
    """
    for key in (f"{prefix}{ENDS}" for prefix in PREFIXES):
        ends, last = row.get(key), int(row["length"]) - 1
        if ends is None:
            continue
        known = isinstance(ends, list) and all(type(end) is int for end in ends)
        if not known or ends != sorted(ends) or not all(0 <= end <= last for end in ends[:-1]):
            warnings.warn(
                f"{key} of {where} is {ends!r}, not frames 0 to {last} in ascending order: these sub-tasks are left "
                "out; annotate the episode again",
                stacklevel=2,
            )
        elif len(ends) > 1:
            return {f"{KEYFRAME}{k}": float(end) for k, end in enumerate(ends[:-1])}
    return {}


def write_keyframes(root: Path, keyframes: Sequence[Sequence[int]], lengths: Sequence[int], fps: float) -> None:
    """Adds the sub-tasks of every episode to the dataset in ``root``; nothing where no episode has a keyframe.

    ``keyframes``: for each episode the frames, ascending, at which sub-tasks end but for the last one, which ends with
    the episode's last frame.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not any(keyframes):
        return
    for path in sorted((root / "meta" / "episodes").glob("*/*.parquet")):
        table = read_table(path)
        rows = [_subtasks(keyframes[k], lengths[k], fps) for k in table["episode_index"].to_pylist()]
        for name, kind in _COLUMNS.items():
            cells = [None if row is None else row[name] for row in rows]
            table = table.append_column(name, pa.array(cells, pa.list_(getattr(pa, kind)())))
        # what datasets noted of the columns no longer holds
        pq.write_table(table.replace_schema_metadata(None), path, compression="snappy")


_COLUMNS = {
    "subtask_names": "string",
    "subtask_start_times": "float64",
    "subtask_end_times": "float64",
    "subtask_start_frames": "int64",
    ENDS: "int64",
}


def _subtasks(keyframes: Sequence[int], length: int, fps: float) -> dict[str, list[Any]] | None:
    if not keyframes:
        return None
    starts, ends = [0, *keyframes], [*keyframes, length - 1]
    names = [f"sub-task {k}" for k in range(1, len(ends) + 1)]
    times = ([frame / fps for frame in frames] for frames in (starts, ends))
    return dict(zip(_COLUMNS, (names, *times, starts, ends), strict=True))
