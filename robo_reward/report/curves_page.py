"""The page of progress curves: video beside curves, one cursor for both, in a single file that needs no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.report import html as report_page
from robo_reward.report.curve import Curve, PricedEpisode, scaled_to
from robo_reward.runs import atomic

SCRIPTS = ("curves_state.js", "curves_list.js", "curves_plot.js", "curves.js")
LOWEST = 240
"""Smaller pictures are enlarged by whole factors to at least this many rows: H.264 halves the colours' resolution."""
FASTEST = 60.0
"""Frames per second of a video in the page; faster episodes are shown slower."""


def write_curves_page(folder: Path, title: str, subtitle: str, episodes: Sequence[PricedEpisode]) -> Path:
    """Writes ``index.html`` with every episode's video, curves and numbers; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    models = list(dict.fromkeys(name for episode in episodes for name in episode.curves))
    rates = [round(min(episode.shown_fps, FASTEST), 3) for episode in episodes]
    content = {"models": models, "episodes": [_episode(e, models, fps) for e, fps in zip(episodes, rates, strict=True)]}
    body = [_header(title, subtitle, episodes), report_page.asset("curves.html")]
    body.append(f'<script type="application/json" id="content">{report_page.script_json(content)}</script>')
    body += [_video(i, e, fps) for i, (e, fps) in enumerate(zip(episodes, rates, strict=True))]
    style, script = report_page.asset("curves.css"), player_script()
    page = report_page.page(f"{title} · robo-reward", "\n".join(body), style, script, wide=True)
    atomic.write_text(folder / "index.html", page)
    return folder / "index.html"


def player_script() -> str:
    """The page's program: its files share one scope, which nothing else can see."""
    return f'"use strict";\n(() => {{\n{"".join(map(report_page.asset, SCRIPTS))}}})();\n'


def _header(title: str, subtitle: str, episodes: Sequence[PricedEpisode]) -> str:
    known: list[str] = [episode.outcome for episode in episodes if episode.outcome != "unknown"]
    badges = [report_page.badge(f"{len(episodes)} episode{'' if len(episodes) == 1 else 's'}")]
    if known:
        words = (
            ("success", "succeed", "good"),
            ("lost", "succeed and lose it again", "care"),
            ("failure", "fail", "bad"),
        )
        counts = [(known.count(outcome), word, kind) for outcome, word, kind in words]
        badges += [report_page.badge(f"{count} {word}", kind) for count, word, kind in counts if count]
    if len(known) < len(episodes):
        badges.append(report_page.badge(f"{len(episodes) - len(known)} of unknown outcome"))
    return (
        '<header class="top"><div><p class="muted small">robo-reward curves</p>'
        f'<h1>{escape(title)}</h1><p class="muted small">{escape(subtitle)}</p></div>'
        f'<div class="badges">{"".join(badges)}</div></header>'
    )


def _episode(episode: PricedEpisode, models: Sequence[str], fps: float) -> dict[str, Any]:
    return {
        "name": episode.name,
        "task": episode.task,
        "success": episode.success,
        "successStep": episode.success_step,
        "lostStep": episode.lost_step,
        "fps": episode.fps,
        "steps": episode.steps.tolist(),
        "videoFps": fps,
        "views": list(episode.views),
        "final": round(episode.final, 6),
        "disagreement": None if episode.disagreement is None else round(episode.disagreement, 6),
        "miss": None if episode.miss is None else round(episode.miss, 6),
        "curves": [_curve(episode.curves[name]) if name in episode.curves else None for name in models],
    }


def _curve(curve: Curve) -> Mapping[str, Any]:
    return {
        "steps": curve.steps.tolist(),
        "milestones": curve.milestones.tolist(),
        "progress": _digits(curve.progress),
        "gain": _digits(curve.gain),
        "claimed": _digits(curve.claimed),
        "uncertainty": _digits(curve.uncertainty),
    }


def _digits(values: NDArray[np.float32] | None) -> list[float] | None:
    """The shortest numbers that give the same float32 back: the page says what the parquet says."""
    return None if values is None else [float(str(np.float32(value))) for value in values]


def _video(index: int, episode: PricedEpisode, fps: float) -> str:
    from robo_reward.data.video import encode_video

    frames = episode.side_by_side()
    if frames is None:
        return ""
    factor = -(-LOWEST // frames.shape[1])
    data = base64.b64encode(encode_video(scaled_to(frames, factor * frames.shape[1]), fps, crf=21)).decode()
    return f'<script type="text/plain" id="video-{index}">{data}</script>'
