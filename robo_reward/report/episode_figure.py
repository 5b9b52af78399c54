"""A still picture of priced episodes: one small plot each, on the same axes, with every reward model's curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from robo_reward.report.curve import Curve, PricedEpisode
from robo_reward.report.plots import COLORS, CYCLE, subplots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 4
TRUTH = {"success": "good", "lost": "gold", "failure": "bad", "unknown": "muted"}


def episodes_figure(episodes: Sequence[PricedEpisode]) -> Figure:
    """Small plots in rows of four; the title and the last point have the colour of the truth, rings are milestones.

    The dashed line is the first step annotated as success.
    """
    columns = min(COLUMNS, len(episodes))
    rows = -(-len(episodes) // columns)
    size = (4.9, 3.2) if len(episodes) == 1 else (2.5 * columns, 1.9 * rows + 0.4)
    figure, grid = subplots(rows, columns, figsize=size, squeeze=False, sharey=True)
    for axes, episode in zip(grid.flat, episodes, strict=False):
        _draw(axes, episode)
    for axes in grid.flat[len(episodes) :]:
        axes.set_axis_off()
    grid[0][0].set_ylim(0, 1.04)
    for row in grid:
        row[0].set_ylabel("progress")
    for axes in grid.flat[max(0, len(episodes) - columns) : len(episodes)]:
        axes.set_xlabel("step")
    models = list(dict.fromkeys(name for episode in episodes for name in episode.curves))
    if len(models) > 1:
        _name(figure, models)
    return figure


def _draw(axes: Axes, episode: PricedEpisode) -> None:
    truth = COLORS[TRUTH[episode.outcome]]
    axes.set_title(episode.name, color=truth, fontsize=9, loc="left")
    axes.margins(x=0.03)
    if episode.success_step is not None:
        axes.axvline(episode.success_step, color=truth, linestyle=(0, (3, 2)), linewidth=0.9)
    for index, curve in enumerate(episode.curves.values()):
        _curve(axes, curve, COLORS[CYCLE[index % len(CYCLE)]])
        axes.plot(curve.steps[-1], curve.progress[-1], "o", color=truth, markersize=4.5, clip_on=False, zorder=4)


def _curve(axes: Axes, curve: Curve, color: str) -> None:
    axes.plot(curve.steps, curve.progress, color=color, linewidth=1.5, clip_on=False)
    if curve.uncertainty is not None:
        low, high = (np.clip(curve.progress + sign * curve.uncertainty, 0, 1) for sign in (-1, 1))
        axes.fill_between(curve.steps, low, high, color=color, alpha=0.16, linewidth=0)
    at = np.isin(curve.steps, curve.milestones)
    ring: dict[str, Any] = {"markerfacecolor": "white", "markeredgecolor": color, "markersize": 4, "clip_on": False}
    if at.any():  # an unclipped line without points has no extent, which breaks the layout
        axes.plot(curve.steps[at], curve.progress[at], "o", **ring)


def _name(figure: Figure, models: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=COLORS[CYCLE[i % len(CYCLE)]], label=name) for i, name in enumerate(models)]
    place: dict[str, Any] = {"loc": "outside upper left", "ncols": min(3, len(models)), "frameon": False}
    figure.legend(handles=lines, **place, fontsize=9, labelcolor=COLORS["ink"])
