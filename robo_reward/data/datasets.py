"""Episodes on disk: LeRobotDataset v3 in and out. Reading takes pyarrow and PyAV, not LeRobot's imports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.data.dataset_source import AGE, PLACES, POINTS, DatasetSource, open_dataset, read_table
from robo_reward.data.dataset_writer import write_dataset
from robo_reward.data.parquet_cells import matrix, pictures
from robo_reward.data.subtasks import read_keyframes
from robo_reward.data.video import Span, decode_spans
from robo_reward.errors import UserError
from robo_reward.trace import Source, Trace

__all__ = ["read_dataset", "write_dataset"]

MAX_FRAME_BYTES = 16 * 2**30
"""More decoded pictures than this are refused at once, rather than by the kernel in the middle of it."""


def read_dataset(
    path_or_hub_id: str | Path,
    views: Sequence[str] | None = None,
    episodes: Sequence[int] | None = None,
    stride: int = 1,
    *,
    assume_success_at_end: bool = True,
    source: Source = "demonstration",
) -> list[Trace]:
    """Reads any LeRobotDataset v3, a local folder or a hub id, as one trace per episode.

    L frames of an episode become L-1 steps (the last action leads to no state), with pictures at every
    ``stride``-th step and at the last one. ``views``: camera names without ``observation.images.``; None
    reads all, () none. ``success[t+1]`` is ``next.success[t]``; an episode that reaches success only by its
    last action, whose state was not recorded, counts as successful in its last state. Without
    ``next.success`` a demonstration is taken to succeed in its last state, unless ``assume_success_at_end``
    is False, which leaves ``success`` None. ``next.reward`` is not read: it may be an oracle's. Of held pictures
    (``picture_age``) only those are kept that were taken at their step. LeRobot's sub-tasks become ``Trace.keyframes``.

    Raises:
        UserError: no dataset, another codebase version, zero episodes, a missing key, an unknown view or
            episode, an episode shorter than two frames, a damaged file, or more pictures than memory could
            hold.
    """
    if stride < 1:
        raise UserError(f"stride={stride} must be 1 or more")
    dataset = open_dataset(path_or_hub_id)
    dataset.require(["observation.state", "action"])
    keys = dataset.choose_views(views)
    rows = _choose_episodes(dataset, episodes)
    _check_size(dataset, keys.values(), rows, stride)
    columns = _read_columns(dataset, rows, keys.values())
    wanted = [_frame_steps(table.num_rows, stride) for table in columns]
    if keys:  # states are of their step, whatever age the pictures have
        wanted = [_fresh(table, steps) for table, steps in zip(columns, wanted, strict=True)]
    frames = {view: _read_frames(dataset, key, rows, columns, wanted) for view, key in keys.items()}
    return [
        _trace(
            dataset,
            rows[i],
            columns[i],
            {v: f[i] for v, f in frames.items()},
            wanted[i],
            assume_success_at_end,
            source,
        )
        for i in range(len(rows))
    ]


def _choose_episodes(dataset: DatasetSource, episodes: Sequence[int] | None) -> list[Mapping[str, Any]]:
    known = {int(row["episode_index"]): row for row in dataset.episodes}
    for index in episodes or ():
        if index not in known:
            raise UserError(f"dataset '{dataset.name}' has no episode {index}; it has 0 to {max(known)}")
    rows = list(known.values()) if episodes is None else [known[index] for index in episodes]
    if not rows:
        raise UserError("episodes=[] chooses nothing; name at least one episode or leave it out")
    for row in rows:
        if int(row["length"]) < 2:
            raise UserError(
                f"episode {row['episode_index']} of dataset '{dataset.name}' has {row['length']} frame(s); "
                "an episode needs two or more: delete it (lerobot-edit-dataset), or name the others where a verb takes "
                "episodes=[...]"
            )
    return rows


def _frame_steps(length: int, stride: int) -> NDArray[np.int64]:
    steps = np.arange(0, length, stride, dtype=np.int64)
    return steps if steps[-1] == length - 1 else np.append(steps, length - 1)


def _fresh(table: Any, steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those steps whose pictures were taken there; held ones show an earlier moment."""
    if AGE not in table.column_names:
        return steps
    age: NDArray[np.int64] = np.asarray(table[AGE].to_pylist(), np.int64).reshape(-1)
    fresh: NDArray[np.int64] = steps[age[steps] == 0]
    return fresh


def _check_size(dataset: DatasetSource, keys: Iterable[str], rows: Sequence[Mapping[str, Any]], stride: int) -> None:
    pixels = sum(int(np.prod(dataset.features[key]["shape"])) for key in keys)
    need = pixels * sum(len(_frame_steps(int(row["length"]), stride)) for row in rows)
    if need > MAX_FRAME_BYTES:
        raise UserError(
            f"the pictures of {len(rows)} episode(s) of '{dataset.name}' would take {need / 2**30:.0f} "
            f"GiB of memory (at most {MAX_FRAME_BYTES // 2**30}); "
            "name fewer views or episodes, or a larger stride"
        )


def _read_columns(dataset: DatasetSource, rows: Sequence[Mapping[str, Any]], keys: Iterable[str]) -> list[Any]:
    """The parquet rows of each episode, one pyarrow table each; every file is read once."""
    names = ["observation.state", "action", "task_index", "episode_index", "frame_index"]
    names += [key for key in keys if dataset.features[key]["dtype"] == "image"]
    names += [key for key in dataset.features if key in ("next.success", AGE, PLACES, POINTS)]
    paths = [dataset.path("data_path", row, "data") for row in rows]
    dataset.need(paths)
    tables = {path: read_table(path, names) for path in dict.fromkeys(paths)}
    return [_rows_of(dataset, tables[path], row) for path, row in zip(paths, rows, strict=True)]


def _rows_of(dataset: DatasetSource, table: Any, row: Mapping[str, Any]) -> Any:
    index, length = int(row["episode_index"]), int(row["length"])
    found = table.filter(np.asarray(table["episode_index"]) == index).sort_by("frame_index")
    if found.num_rows != length:
        raise UserError(
            f"dataset '{dataset.name}' is damaged: episode {index} should have {length} frames, "
            f"its data file holds {found.num_rows}"
        )
    return found


def _read_frames(
    dataset: DatasetSource,
    key: str,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[Any],
    wanted: Sequence[NDArray[np.int64]],
) -> list[NDArray[np.uint8]]:
    """(F, H, W, 3) uint8 per episode, at the wanted frames."""
    if dataset.features[key]["dtype"] == "image":
        cells = zip(rows, columns, wanted, strict=True)
        return [pictures(table[key], steps, _named(dataset, key, row)) for row, table, steps in cells]
    paths = [dataset.path("video_path", row, f"videos/{key}", video_key=key) for row in rows]
    dataset.need(paths)
    found: dict[int, NDArray[np.uint8]] = {}
    for path in dict.fromkeys(paths):
        inside = [i for i, p in enumerate(paths) if p == path]
        spans = [Span(float(rows[i][f"videos/{key}/from_timestamp"]), wanted[i]) for i in inside]
        found |= dict(zip(inside, decode_spans(path, spans, dataset.fps), strict=True))
    return [found[i] for i in range(len(rows))]


def _trace(
    dataset: DatasetSource,
    row: Mapping[str, Any],
    table: Any,
    frames: Mapping[str, NDArray[np.uint8]],
    steps: NDArray[np.int64],
    assume_success: bool,
    source: Source,
) -> Trace:
    def numbers(key: str) -> NDArray[np.float32]:
        return matrix(table[key], _named(dataset, key, row))

    state, task = numbers("observation.state"), table["task_index"][0].as_py()
    if task not in dataset.tasks:
        raise UserError(f"{_named(dataset, 'task_index', row)} names task {task}, which meta/tasks does not hold")
    return Trace(
        task=dataset.tasks[task],
        state=state,
        action=numbers("action")[:-1],
        frames=frames,
        frame_steps=steps,
        fps=dataset.fps,
        source=source,
        success=_success(table, len(state), assume_success),
        places=numbers(PLACES) if PLACES in table.column_names else None,
        points=_points(dataset, row, table),
        meta=read_keyframes(row, f"episode {row['episode_index']} of dataset '{dataset.name}'"),
    )


def _named(dataset: DatasetSource, key: str, row: Mapping[str, Any]) -> str:
    return f"{key} of episode {row['episode_index']} of dataset '{dataset.name}'"


def _points(dataset: DatasetSource, row: Mapping[str, Any], table: Any) -> dict[str, NDArray[np.float32]] | None:
    """View -> (T+1, K, 2)."""
    if POINTS not in table.column_names:
        return None
    told, columns = matrix(table[POINTS], _named(dataset, POINTS, row)), dataset.point_columns()
    if told.shape[1] != sum(map(len, columns.values())):
        raise UserError(f"{_named(dataset, POINTS, row)} has {told.shape[1]} numbers, which is not what it names")
    return {view: told[:, of].reshape(len(told), -1, 2) for view, of in columns.items()}


def _success(table: Any, length: int, assume: bool) -> NDArray[np.bool_] | None:
    success = np.zeros(length, np.bool_)
    if "next.success" not in table.column_names:
        success[-1] = True
        return success if assume else None
    flags = np.asarray(table["next.success"].to_pylist(), np.bool_).reshape(-1)
    success[1:] = flags[:-1]
    success[-1] |= flags[-1] and not success.any()
    return success
