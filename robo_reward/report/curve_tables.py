"""Progress curves as a table: one row per episode, reward model and priced frame, for parquet and CSV."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.report.curve import Curve, PricedEpisode

COLUMNS = (
    "episode", "episode_index", "task", "success", "success_at_end", "model", "frame", "step", "seconds", "progress",
    "gain", "claimed_success", "uncertainty", "milestone",
)  # fmt: skip
"""``success``: at any step, truly; ``success_at_end``: in the last one; ``claimed_success``: the model's probability.

Null where nobody knows."""


def curve_table(episodes: Sequence[PricedEpisode]) -> Any:
    """A pyarrow table with ``COLUMNS``; progress, gain, claimed_success and uncertainty are float32.

    ``frame`` counts the priced frames of one curve, ``step`` the steps of the episode; ``seconds`` is step / fps.
    """
    import pyarrow as pa

    return pa.concat_tables(_rows(episode, model, curve) for episode in episodes for model, curve in _curves(episode))


def to_parquet(table: Any) -> bytes:
    """The table as parquet bytes."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def to_csv(table: Any) -> bytes:
    """The table as CSV with a header; numbers with every digit that float32 has, nulls empty."""
    import pyarrow as pa
    import pyarrow.csv as csv

    buffer = io.BytesIO()
    floats = [i for i, kind in enumerate(table.schema.types) if pa.types.is_float32(kind)]
    for i in floats:  # the shortest digits that give the same float32 back
        texts = [None if v is None else str(np.float32(v)) for v in table.column(i).to_pylist()]
        table = table.set_column(i, table.schema.names[i], pa.array([None if t is None else float(t) for t in texts]))
    csv.write_csv(table, buffer)
    return buffer.getvalue()


def _curves(episode: PricedEpisode) -> list[tuple[str, Curve]]:
    return list(episode.curves.items())


def _rows(episode: PricedEpisode, model: str, curve: Curve) -> Any:
    import pyarrow as pa

    count = len(curve.steps)

    def floats(values: NDArray[np.float32] | None) -> Any:
        return pa.nulls(count, pa.float32()) if values is None else pa.array(values.astype(np.float32))

    def same(value: object, kind: Any) -> Any:
        return pa.array([value] * count, kind)

    values = (
        same(episode.name, pa.string()),
        same(episode.index, pa.int64()),
        same(episode.task, pa.string()),
        same(episode.success, pa.bool_()),
        same(episode.success_at_end, pa.bool_()),
        same(model, pa.string()),
        pa.array(np.arange(count, dtype=np.int64)),
        pa.array(curve.steps.astype(np.int64)),
        pa.array(curve.steps / episode.fps, pa.float64()),
        floats(curve.progress),
        floats(curve.gain),
        floats(curve.claimed),
        floats(curve.uncertainty),
        pa.array(np.isin(curve.steps, curve.milestones)),
    )
    return pa.table(dict(zip(COLUMNS, values, strict=True)))
