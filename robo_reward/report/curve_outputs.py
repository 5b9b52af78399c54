"""Writes priced episodes in the formats that a user asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from robo_reward.errors import UserError, unknown_name
from robo_reward.report.curve import PricedEpisode
from robo_reward.runs import atomic

FORMATS = ("html", "png", "svg", "csv", "parquet", "mp4", "rerun", "rabc")


def check_formats(asked: Sequence[str]) -> tuple[str, ...]:
    """The formats without repetition.

    Raises:
        UserError: an unknown one, or none.
    """
    if not asked:
        raise UserError(f"format=[] writes nothing; choose from {', '.join(FORMATS)}")
    for name in asked:
        if name not in FORMATS:
            raise unknown_name("format", name, FORMATS)
    return tuple(dict.fromkeys(asked))


def write_outputs(
    folder: Path, formats: Sequence[str], title: str, subtitle: str, episodes: Sequence[PricedEpisode]
) -> None:
    """Writes every format but ``rabc``, which needs whole datasets (``rabc_file``), into ``folder``.

    ``index.html``; ``curves.png`` and ``strip-<episode>.png``; ``curves.svg``; ``curves.csv``; ``curves.parquet``;
    ``overlay-<episode>.mp4``; ``<episode>.rrd``.

    Raises:
        MissingExtra: rerun-sdk is not installed.
    """
    from robo_reward.report.curves_page import write_curves_page

    writers: dict[str, Callable[[], object]] = {
        "html": lambda: write_curves_page(folder, title, subtitle, episodes),
        "png": lambda: _pictures(folder, episodes),
        "svg": lambda: _drawing(folder, episodes),
        "csv": lambda: _table(folder, "csv", episodes),
        "parquet": lambda: _table(folder, "parquet", episodes),
        "mp4": lambda: _overlays(folder, episodes),
        "rerun": lambda: _recordings(folder, episodes),
    }
    for name in formats:
        if name in writers:
            writers[name]()


def _pictures(folder: Path, episodes: Sequence[PricedEpisode]) -> None:
    from robo_reward.report.episode_figure import episodes_figure
    from robo_reward.report.pages import pick_frames
    from robo_reward.report.plots import strip_figure, to_png

    atomic.write_bytes(folder / "curves.png", to_png(episodes_figure(episodes)))
    for episode in episodes:
        curve = next(iter(episode.curves.values()))
        for view in list(episode.views.values())[:1]:
            strip = pick_frames(view[np.searchsorted(episode.steps, curve.steps)], curve)
            figure = strip_figure(strip.frames, strip.progress, strip.steps)
            atomic.write_bytes(folder / f"strip-{stem(episode.name)}.png", to_png(figure))


def _drawing(folder: Path, episodes: Sequence[PricedEpisode]) -> None:
    from robo_reward.report.episode_figure import episodes_figure
    from robo_reward.report.plots import to_svg

    atomic.write_text(folder / "curves.svg", to_svg(episodes_figure(episodes)))


def _table(folder: Path, kind: str, episodes: Sequence[PricedEpisode]) -> None:
    from robo_reward.report.curve_tables import curve_table, to_csv, to_parquet

    data = (to_csv if kind == "csv" else to_parquet)(curve_table(episodes))
    atomic.write_bytes(folder / f"curves.{kind}", data)


def _overlays(folder: Path, episodes: Sequence[PricedEpisode]) -> None:
    from robo_reward.data.video import write_video
    from robo_reward.report.overlay import overlay

    for episode in episodes:
        frames = episode.side_by_side()
        if frames is not None:
            shown = overlay(frames, episode.steps, episode.curves)
            write_video(folder / f"overlay-{stem(episode.name)}.mp4", shown, episode.shown_fps)


def _recordings(folder: Path, episodes: Sequence[PricedEpisode]) -> None:
    from robo_reward.report.rerun_file import write_rerun

    for episode in episodes:
        write_rerun(folder / f"{stem(episode.name)}.rrd", episode)


def stem(name: str) -> str:
    """A name as a file's: letters, digits, - and _."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)
