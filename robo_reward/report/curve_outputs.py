"""Writes priced episodes in the formats that a user asked for."""

from __future__ import annotations

import itertools
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
    ``overlay-<episode>.mp4``, of episodes with pictures; ``<episode>.rrd``.

    Raises:
        UserError: mp4, and no episode has pictures.
        MissingExtra: rerun-sdk is not installed.
    """
    from robo_reward.report.curves_page import write_curves_page

    names = stems([episode.name for episode in episodes])
    writers: dict[str, Callable[[], object]] = {
        "html": lambda: write_curves_page(folder, title, subtitle, episodes),
        "png": lambda: _pictures(folder, episodes, names),
        "svg": lambda: _drawing(folder, episodes),
        "csv": lambda: _table(folder, "csv", episodes),
        "parquet": lambda: _table(folder, "parquet", episodes),
        "mp4": lambda: _overlays(folder, episodes, names),
        "rerun": lambda: _recordings(folder, episodes, names),
    }
    for name in formats:
        if name in writers:
            writers[name]()


def _pictures(folder: Path, episodes: Sequence[PricedEpisode], names: Sequence[str]) -> None:
    from robo_reward.report.episode_figure import episodes_figure
    from robo_reward.report.pages import pick_frames
    from robo_reward.report.plots import strip_figure, to_png

    atomic.write_bytes(folder / "curves.png", to_png(episodes_figure(episodes)))
    for name, episode in zip(names, episodes, strict=True):
        curve = next(iter(episode.curves.values()))
        for view in list(episode.views.values())[:1]:
            strip = pick_frames(view[np.searchsorted(episode.steps, curve.steps)], curve)
            figure = strip_figure(strip.frames, strip.progress, strip.steps)
            atomic.write_bytes(folder / f"strip-{name}.png", to_png(figure))


def _drawing(folder: Path, episodes: Sequence[PricedEpisode]) -> None:
    from robo_reward.report.episode_figure import episodes_figure
    from robo_reward.report.plots import to_svg

    atomic.write_text(folder / "curves.svg", to_svg(episodes_figure(episodes)))


def _table(folder: Path, kind: str, episodes: Sequence[PricedEpisode]) -> None:
    from robo_reward.report.curve_tables import curve_table, to_csv, to_parquet

    data = (to_csv if kind == "csv" else to_parquet)(curve_table(episodes))
    atomic.write_bytes(folder / f"curves.{kind}", data)


def _overlays(folder: Path, episodes: Sequence[PricedEpisode], names: Sequence[str]) -> None:
    from robo_reward.data.video import write_video
    from robo_reward.report.overlay import overlay

    if not any(episode.views for episode in episodes):
        raise no_pictures()
    for name, episode in zip(names, episodes, strict=True):
        frames = episode.side_by_side()
        if frames is not None:
            shown = overlay(frames, episode.steps, episode.curves)
            write_video(folder / f"overlay-{name}.mp4", shown, episode.shown_fps)


def _recordings(folder: Path, episodes: Sequence[PricedEpisode], names: Sequence[str]) -> None:
    from robo_reward.report.rerun_file import write_rerun

    for name, episode in zip(names, episodes, strict=True):
        write_rerun(folder / f"{name}.rrd", episode)


def no_pictures() -> UserError:
    """Why there can be no video."""
    return UserError(
        "format=mp4 shows pictures with the curves beside them, and there are none: use format=svg or html"
    )


def stems(names: Sequence[str]) -> list[str]:
    """Names as files' names, no two alike where letter case counts for nothing: letters, digits, - and _."""
    made: dict[str, None] = {}
    for name in names:
        plain = "".join(c if c.isalnum() or c in "-_" else "-" for c in name)
        taken = {one.casefold() for one in made}
        numbered = (plain if k == 1 else f"{plain}-{k}" for k in itertools.count(1))
        made[next(one for one in numbered if one.casefold() not in taken)] = None
    return list(made)
