"""The numbers of a run over time: ``metrics.jsonl`` (same seed, same bytes) and its mirrors, such as TensorBoard's."""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

Value = float | int | str | bool | None

_TIMED = re.compile(r"(seconds|_ms|fps|per_second|time)$")


class Mirror(Protocol):
    """Shows the rows elsewhere too; ``metrics.jsonl`` alone counts."""

    def scalars(self, step: int, row: Mapping[str, Value]) -> None:
        """Takes over the numbers of a row."""
        ...

    def restart(self, step: int) -> None:
        """An unfinished run goes on from ``step``: what came after it is void."""
        ...

    def close(self) -> None:
        """Closes; a second call does nothing."""
        ...


class MetricsLog:
    """Appends rows to ``metrics.jsonl``; a row is in the file whole or not at all."""

    def __init__(self, path: Path, mirrors: Sequence[Mirror] = ()) -> None:
        self._path = path
        self._mirrors = tuple(mirrors)
        self._file: BinaryIO | None = None

    def open(self, keep_bytes: int | None = None) -> None:
        """Opens for appending; ``keep_bytes`` cuts the file back to what a checkpoint had seen."""
        self._file = open(self._path, "ab", buffering=0)  # noqa: SIM115 - closed by close()
        if keep_bytes is not None:
            self._file.truncate(min(keep_bytes, self.size))

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._path.stat().st_size if self._path.exists() else 0

    def log(self, step: int, values: Mapping[str, Value]) -> None:
        """Appends one row: ``step`` first, then the keys in order; NaN and infinities become null.

        Raises ValueError for a key that sounds like time outside ``timing/``: it would differ between two
        runs of the same seed.
        """
        row = {"step": int(step)} | {key: _plain(key, values[key]) for key in sorted(values)}
        self._append((json.dumps(row, allow_nan=False) + "\n").encode("utf-8"))
        for mirror in self._mirrors:
            mirror.scalars(step, row)

    def restart(self, step: int) -> None:
        """Tells the mirrors that rows after ``step`` are void."""
        for mirror in self._mirrors:
            mirror.restart(step)

    def close(self) -> None:
        """Closes the files; a second call does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None
        for mirror in self._mirrors:
            mirror.close()

    def _append(self, line: bytes) -> None:
        if self._file is None:
            raise ValueError("metrics are logged before the run folder was opened or after it was closed")
        before = self.size
        try:
            written = self._file.write(line)
            if written != len(line):
                self._file.write(line[written:])  # a full disk takes part of a line, then refuses the rest
        except BaseException:
            os.ftruncate(self._file.fileno(), before)
            raise


class EventFile:
    """Writes TensorBoard scalars synchronously, without threads and without importing torch."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._writer: Any = None

    def scalars(self, step: int, row: Mapping[str, Value]) -> None:
        """Mirrors the numbers of a metrics row."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        numbers = {k: float(v) for k, v in row.items() if isinstance(v, int | float) and k != "step"}
        if numbers:
            values = [Summary.Value(tag=key, simple_value=number) for key, number in numbers.items()]
            self._write(step=step, summary=Summary(value=values))

    def restart(self, step: int) -> None:
        """Tells TensorBoard to forget what an earlier, unfinished stretch logged from ``step`` on."""
        from tensorboard.compat.proto.event_pb2 import SessionLog

        self._write(step=step + 1, session_log=SessionLog(status=SessionLog.START))

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = self._writer = None

    def _write(self, **content: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        if self._writer is None:
            self._writer = self._start(Event(wall_time=time.time(), file_version="brain.Event:2"))
        self._writer.write(Event(wall_time=time.time(), **content).SerializeToString())
        self._writer.flush()

    def _start(self, version: Any) -> Any:
        from tensorboard.summary.writer.record_writer import RecordWriter

        name = f"events.out.tfevents.{time.time_ns() // 1_000_000}.{os.getpid()}"
        self._file = open(self._folder / name, "wb")  # noqa: SIM115 - closed by close()
        writer = RecordWriter(self._file)
        writer.write(version.SerializeToString())
        return writer


def _plain(key: str, value: Any) -> Value:
    if key == "step":
        raise ValueError("a metrics row has its step already; name the value otherwise")
    if _TIMED.search(key) and not key.startswith("timing/"):
        raise ValueError(f"the metric '{key}' depends on timing, so it must be named 'timing/{key}'")
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, float) and not math.isfinite(plain):
        return None
    if plain is None or isinstance(plain, bool | int | float | str):
        return plain
    raise ValueError(f"the metric '{key}' is a {type(value).__name__}, not a number, text, flag or None")
