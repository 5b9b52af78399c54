"""Video files in and out: H.264 that browsers play, and decoding in one pass per file."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import UserError

Frames = NDArray[np.uint8]
SEEK_GAP = 2.0
"""Seconds of unwanted video that are jumped over rather than decoded."""


@dataclass(frozen=True, slots=True)
class Span:
    """The wanted frames of one episode in a video: they start at ``start`` seconds, ``steps`` (F,) ascend
    from 0."""

    start: float
    steps: NDArray[np.int64]


def write_video(path: Path, frames: Frames, fps: float, crf: int = 18) -> None:
    """Writes frames (F, H, W, 3) uint8 as an H.264 yuv420p mp4 that browsers play, whole or not at all.

    Missing parent folders are made. Odd sizes are padded by repeating the last row or column. ``crf``: 0
    (lossless) to 51.

    Raises:
        UserError: no frames, another shape or dtype, or an ``fps`` that is not positive.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise UserError(f"a video needs frames (F, H, W, 3) uint8, got {frames.shape} {frames.dtype}")
    if not fps > 0 or not np.isfinite(fps):
        raise UserError(f"a video needs fps above 0, got {fps}")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _encode(temporary, frames, Fraction(fps).limit_denominator(1001), crf)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def encode_video(frames: Frames, fps: float, crf: int = 18) -> bytes:
    """What ``write_video`` would write."""
    with tempfile.TemporaryDirectory() as folder:
        write_video(Path(folder) / "video.mp4", frames, fps, crf)
        return (Path(folder) / "video.mp4").read_bytes()


def _encode(path: Path, frames: Frames, rate: Fraction, crf: int) -> None:
    import av

    padding = ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0))
    options = {"movflags": "+faststart"}  # the index comes first, so that a browser can start at once
    with av.open(os.fspath(path), "w", format="mp4", options=options) as output:
        stream: Any = output.add_stream("h264", rate=rate, options={"crf": str(crf), "preset": "medium"})
        stream.height, stream.width = frames.shape[1] + padding[1][1], frames.shape[2] + padding[2][1]
        stream.pix_fmt = "yuv420p"
        for picture in frames:
            padded = np.ascontiguousarray(np.pad(picture, padding[1:], mode="edge"))
            output.mux(stream.encode(av.VideoFrame.from_ndarray(padded, format="rgb24")))
        output.mux(stream.encode())


def read_video(path: Path, max_frames: int | None = None) -> tuple[Frames, float]:
    """All frames (F, H, W, 3) uint8 of a video and its frames per second.

    With ``max_frames`` a longer video is thinned evenly to at most that many, and the rate with it.

    Raises:
        UserError: the file is missing, damaged, or holds no picture.
    """
    if max_frames is not None and max_frames < 1:
        raise UserError(f"max_frames={max_frames} must be 1 or more")
    kept: list[Frames] = []
    stride = 1
    with _opened(path) as container:
        fps = float(container.streams.video[0].average_rate or 0) or 25.0
        for index, frame in enumerate(_decoded(path, container)):
            if index % stride:
                continue
            kept.append(frame.to_ndarray(format="rgb24"))
            # Halving as it grows keeps memory bounded; headers often lie about the length.
            if max_frames is not None and len(kept) > max_frames:
                kept, stride = kept[::2], stride * 2
    if not kept:
        raise UserError(f"the video '{path}' holds no picture")
    if any(f.shape != kept[0].shape for f in kept):
        raise UserError(f"the pictures of '{path}' change their size; cut it into parts of one size")
    return np.stack(kept), fps / stride


def decode_spans(path: Path, spans: Sequence[Span], fps: float) -> list[Frames]:
    """The wanted frames (F, H, W, 3) uint8 of each span; the file is read once, from front to back.

    Frame k of a span is shown at ``start + k / fps`` seconds.

    Raises:
        UserError: the file is missing or damaged, or a frame is not in it.
    """
    found: list[Frames] = [np.empty(0, np.uint8)] * len(spans)
    with _opened(path) as container:
        position: float | None = None
        stream = _decoded(path, container)
        for index in sorted(range(len(spans)), key=lambda i: spans[i].start):
            if position is None or not 0 <= spans[index].start - position <= SEEK_GAP:
                _seek(path, container, spans[index].start)
                stream = _decoded(path, container)
            # One iterator goes on from span to span: a new one would lose frames already decoded.
            found[index], position = _decode_span(path, stream, spans[index], fps)
    return found


def _decode_span(path: Path, stream: Iterator[Any], span: Span, fps: float) -> tuple[Frames, float]:
    wanted = {int(step): row for row, step in enumerate(span.steps)}
    pictures: dict[int, Frames] = {}
    seconds = 0.0
    for frame in stream:
        seconds = float(frame.time or 0.0)
        step = round((seconds - span.start) * fps)
        if step in wanted:
            pictures[step] = frame.to_ndarray(format="rgb24")
        if step >= int(span.steps[-1]):
            break
    missing = sorted(wanted.keys() - pictures.keys())
    if missing:
        raise UserError(
            f"the video '{path}' has no frame at {span.start + missing[0] / fps:.3f} s ({len(missing)} "
            "missing); it is cut short or belongs to another dataset"
        )
    return np.stack([pictures[step] for step in wanted]), seconds


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import av

    if not path.is_file():
        raise UserError(f"there is no video file '{path}'")
    try:
        container: Any = av.open(os.fspath(path))
    except (av.FFmpegError, ValueError) as error:
        raise _damaged(path, error) from error
    with container:
        if not container.streams.video:
            raise UserError(f"'{path}' holds no video stream")
        container.streams.video[0].thread_type = "AUTO"
        yield container


def _decoded(path: Path, container: Any) -> Iterator[Any]:
    import av

    try:
        yield from container.decode(video=0)
    except (av.FFmpegError, ValueError) as error:
        raise _damaged(path, error) from error


def _seek(path: Path, container: Any, seconds: float) -> None:
    import av

    stream = container.streams.video[0]
    try:
        container.seek(max(0, int(seconds / stream.time_base) - 1), stream=stream)
    except (av.FFmpegError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or error
    return UserError(f"'{path}' cannot be decoded as a video ({reason}); it is damaged or none, copy it again")
