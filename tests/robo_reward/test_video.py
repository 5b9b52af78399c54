"""Videos survive the round trip, whatever their size, and damaged ones are named."""

from __future__ import annotations

import tempfile
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_reward.data.video import Span, decode_spans, encode_video, read_video, write_video
from robo_reward.errors import UserError


def film(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frame k is evenly grey with the value 10 k, and brighter in its right half."""
    frames = np.zeros((count, height, width, 3), np.uint8)
    frames += (10 * np.arange(count, dtype=np.uint8))[:, None, None, None]
    frames[:, :, width // 2 :] += 40
    return frames


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 12), st.integers(17, 40), st.integers(17, 40))
def test_round_trip_pads_odd_sizes(count: int, height: int, width: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.mp4"
        path.write_bytes(encode_video(film(count, height, width), 24))
        frames, fps = read_video(path)
    assert frames.shape == (count, height + height % 2, width + width % 2, 3)
    assert fps == 24
    error = np.abs(frames[:, :height, :width].astype(float) - film(count, height, width)).mean()
    assert error < 4


def test_browsers_can_play_it(tmp_path: Path) -> None:
    write_video(tmp_path / "deep" / "a.mp4", film(5), 12.5)
    with av.open(str(tmp_path / "deep" / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert float(stream.average_rate or 0) == 12.5
    head = (tmp_path / "deep" / "a.mp4").read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.mp4"]


def test_long_video_is_thinned_evenly(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", film(20), 20)
    frames, fps = read_video(tmp_path / "a.mp4", max_frames=6)
    assert len(frames) == 5
    assert fps == 5
    np.testing.assert_allclose(frames[:, 0, 0, 0], [0, 40, 80, 120, 160], atol=4)


def test_spans_are_read_where_they_are(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", film(20), 10)
    spans = [Span(1.2, np.array([0, 3])), Span(0.0, np.array([0, 5])), Span(0.6, np.array([1]))]
    values = [s[:, 0, 0, 0].tolist() for s in decode_spans(tmp_path / "a.mp4", spans, 10)]
    for got, wanted in zip(values, [[120, 150], [0, 50], [70]], strict=True):
        np.testing.assert_allclose(got, wanted, atol=4)


def test_span_beyond_the_end(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", film(4), 10)
    with pytest.raises(UserError, match="no frame at 0\\.700 s"):
        decode_spans(tmp_path / "a.mp4", [Span(0.2, np.array([0, 5]))], 10)


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no video file"):
        read_video(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(UserError, match="cannot be decoded"):
        read_video(tmp_path / "text.mp4")
    whole = encode_video(film(30), 10)
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(UserError, match=r"cut\.mp4"):
        read_video(tmp_path / "cut.mp4")


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (4, 8, 8), (4, 8, 8, 4)])
def test_no_frames_or_wrong_shape(shape: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs frames"):
        write_video(tmp_path / "a.mp4", np.zeros(shape, np.uint8), 10)
    with pytest.raises(UserError, match="fps above 0"):
        write_video(tmp_path / "a.mp4", film(2), 0)
    assert list(tmp_path.iterdir()) == []
