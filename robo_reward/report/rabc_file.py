"""The progress file that LeRobot's reward-aligned behaviour cloning (RA-BC) weighs training frames by."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.data.dataset_source import DatasetSource
from robo_reward.report.curve import Curve

NAME = "sarm_progress.parquet"
"""What LeRobot looks for in a dataset's folder when ``sample_weighting.progress_path`` is not given."""


def rabc_parquet(dataset: DatasetSource, curves: Iterable[tuple[int, Curve]], model: str) -> bytes:
    """Parquet bytes with ``index, episode_index, frame_index`` int64 and ``progress_sparse`` float32, sorted.

    One row for every frame of the given episodes, by number: LeRobot gives frames without a row the weight 1, as if
    they were good. Between priced frames progress is interpolated, as LeRobot's own script does with a stride. The
    columns are those that ``lerobot.rewards.sarm.rabc.RABCWeights`` 0.6.1 reads; ``model`` stands in the metadata.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    starts = _starts(dataset)
    lengths = {int(row["episode_index"]): int(row["length"]) for row in dataset.episodes}
    columns: dict[str, list[NDArray[Any]]] = {
        k: [] for k in ("index", "episode_index", "frame_index", "progress_sparse")
    }
    for episode, curve in sorted(curves, key=lambda pair: pair[0]):
        frames = np.arange(lengths[episode], dtype=np.int64)
        columns["index"].append(starts[episode] + frames)
        columns["episode_index"].append(np.full_like(frames, episode))
        columns["frame_index"].append(frames)
        columns["progress_sparse"].append(np.interp(frames, curve.steps, curve.progress).astype(np.float32))
    table = pa.table({name: np.concatenate(parts) for name, parts in columns.items()})
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"reward_model_path": model}), buffer)
    return buffer.getvalue()


def _starts(dataset: DatasetSource) -> dict[int, int]:
    """Episode -> the dataset-wide index of its first frame."""
    starts, total = {}, 0
    for row in dataset.episodes:
        starts[int(row["episode_index"])] = int(row.get("dataset_from_index", total))
        total += int(row["length"])
    return starts
