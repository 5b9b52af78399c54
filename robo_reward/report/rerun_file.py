"""An episode with its curves as a Rerun recording (.rrd), laid out: pictures beside progress and hops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import MissingExtra
from robo_reward.report.curve import Curve, Frames, PricedEpisode
from robo_reward.report.plots import COLORS, CYCLE


def write_rerun(path: Path, episode: PricedEpisode) -> None:
    """Writes ``path`` (.rrd) with the timelines ``step`` and ``time``, whole or not at all.

    Entities: ``views/<camera>`` (the H.264 video and its frames), ``progress/<model>``, ``hop/<model>``,
    ``uncertainty/<model>``, ``claimed_success/<model>`` (scalars) and ``task``.

    Raises:
        MissingExtra: rerun-sdk is not installed.
    """
    try:
        import rerun as rr
    except ImportError as error:
        raise MissingExtra("rerun-sdk", "rerun", "format=rerun") from error
    temporary = path.with_name(f".{path.stem}.tmp.rrd")
    try:
        recording: Any = rr.RecordingStream("robo_reward_curves", recording_id=episode.name)
        recording.save(str(temporary), default_blueprint=_blueprint(episode))
        recording.log("task", rr.TextDocument(_words(episode)), static=True)
        for view, frames in episode.views.items():
            _log_video(recording, f"views/{view}", frames, episode)
        for index, (model, curve) in enumerate(episode.curves.items()):
            _log_curve(recording, model, curve, episode.fps, COLORS[CYCLE[index % len(CYCLE)]])
        recording.flush()
        recording.disconnect()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _words(episode: PricedEpisode) -> str:
    lost = f", lost again at step {episode.lost_step}" if episode.outcome == "lost" else ""
    return f"{episode.task} (truth: {'success' if lost else episode.outcome}{lost})"


def _log_video(recording: Any, entity: str, frames: Frames, episode: PricedEpisode) -> None:
    import rerun as rr

    from robo_reward.data.video import encode_video

    fps = 30.0  # inside the file only: each frame is shown at its own step
    recording.log(entity, rr.AssetVideo(contents=encode_video(frames, fps), media_type="video/mp4"), static=True)
    nanos = np.round((np.arange(len(frames)) + 0.5) / fps * 1e9).astype(np.int64)
    columns = rr.VideoFrameReference.columns(
        timestamp=[rr.components.VideoTimestamp(nanoseconds=int(n)) for n in nanos]
    )
    recording.send_columns(entity, indexes=_times(episode.steps, episode.fps), columns=columns)


def _log_curve(recording: Any, model: str, curve: Curve, fps: float, color: str) -> None:
    import rerun as rr

    values = {
        "progress": curve.progress, "hop": curve.gain, "uncertainty": curve.uncertainty,
        "claimed_success": curve.claimed,
    }  # fmt: skip
    rgb = tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))
    for name, series in values.items():
        if series is not None:
            recording.log(f"{name}/{model}", rr.SeriesLines(colors=[rgb], names=[model], widths=[2]), static=True)
            columns = rr.Scalars.columns(scalars=series.astype(np.float64))
            recording.send_columns(f"{name}/{model}", indexes=_times(curve.steps, fps), columns=columns)


def _times(steps: NDArray[np.int64], fps: float) -> list[Any]:
    import rerun as rr

    return [rr.TimeColumn("step", sequence=steps), rr.TimeColumn("time", duration=steps / fps)]


def _blueprint(episode: PricedEpisode) -> Any:
    import rerun.blueprint as rrb

    plots = [rrb.TimeSeriesView(origin=name, name=name.replace("_", " ")) for name in ("progress", "hop")]
    seen = [rrb.Spatial2DView(origin=f"views/{view}", name=view) for view in episode.views]
    words = rrb.TextDocumentView(origin="task", name="task")
    left = rrb.Vertical(*seen, words)
    return rrb.Blueprint(rrb.Horizontal(left, rrb.Vertical(*plots)), collapse_panels=True)
