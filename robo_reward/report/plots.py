"""Figures in one restrained style: what a run learned, what its reward claimed, and what was true."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from robo_reward.report.curve import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = {
    "ink": "#24292f",
    "muted": "#6b7480",
    "line": "#d5dae0",
    "blue": "#2f6fed",
    "good": "#17895a",
    "bad": "#cf4a2f",
    "gold": "#a8730a",
    "violet": "#7a4fd0",
    "teal": "#0c8299",
    "pink": "#c03f86",
}
"""Name -> colour on white. A page that defines ``--<name>`` repaints the inline pictures, so dark mode works.
"""

CYCLE = ("blue", "gold", "violet", "teal", "pink", "muted")
MEANT = {"demonstration": "blue", "success": "good", "failure": "bad"}
WIDE = (4.9, 3.0)
MOST_NAMED = 6
"""With more curves a legend would take more room than it tells."""

STYLE: dict[str, Any] = {
    "axes.edgecolor": COLORS["line"],
    "axes.labelcolor": COLORS["muted"],
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.figsize": WIDE,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "grid.color": COLORS["line"],
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.labelcolor": COLORS["ink"],
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "robo-reward",
    "text.color": COLORS["ink"],
    "xtick.color": COLORS["muted"],
    "ytick.color": COLORS["muted"],
    "xtick.major.size": 3,
    "ytick.major.size": 0,
}


@dataclass(frozen=True, slots=True)
class Episode:
    """A training episode: its number, what the reward gave it in total, and the truth, unsealed later."""

    rollout: int
    learned_return: float
    success: bool | None = None


def success_figure(episodes: Sequence[Episode], evaluations: Sequence[tuple[int, float]], window: int = 15) -> Figure:
    """Success over rollouts: a running mean of the training episodes, and the evaluations as points."""
    figure, axes = _axes("rollouts", "success rate")
    known = [(e.rollout, float(e.success)) for e in episodes if e.success is not None]
    if known:
        x, y = (np.asarray(column, np.float64) for column in zip(*known, strict=True))
        axes.plot(x, y, "|", color=COLORS["muted"], alpha=0.35, markersize=5, clip_on=False)
        label = f"training, mean of {window}"
        shown = slice(min(5, len(x) - 1), None)  # a mean of fewer would jump
        axes.plot(x[shown], _running_mean(y, window)[shown], color=COLORS["blue"], label=label)
    if evaluations:
        x, y = (np.asarray(column, np.float64) for column in zip(*evaluations, strict=True))
        line = axes.plot(x, y, "o-", color=COLORS["good"], markersize=6, linewidth=1.2, label="evaluation")[0]
        line.set(zorder=4, clip_on=False)
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    _legend(axes)
    return figure


def return_figure(episodes: Sequence[Episode]) -> Figure:
    """What the reward gave each training episode, coloured by what really happened."""
    figure, axes = _axes("rollouts", "learned return")
    groups = {"success": (True, "good", "o"), "failure": (False, "bad", "x"), "unknown": (None, "muted", ".")}
    for label, (truth, color, marker) in groups.items():
        chosen = [e for e in episodes if e.success is truth]
        if chosen:
            x, y = [e.rollout for e in chosen], [e.learned_return for e in chosen]
            drawn = axes.scatter(x, y, s=18, c=COLORS[color], marker=marker, alpha=0.8, linewidths=1.2)
            drawn.set_label(f"{label} ({len(x)})")
    _legend(axes)
    return figure


def curves_figure(curves: Mapping[str, Curve]) -> Figure:
    """Progress curves of several episodes, each with its uncertainty band."""
    figure, axes = _axes("step", "progress")
    free = [color for color in CYCLE if color not in {MEANT.get(label) for label in curves}]
    for index, (label, curve) in enumerate(curves.items()):
        color = COLORS[MEANT.get(label, free[index % len(free)])]
        axes.plot(curve.steps, curve.progress, color=color, label=label, clip_on=False)
        if curve.uncertainty is not None:
            low, high = curve.progress - curve.uncertainty, curve.progress + curve.uncertainty
            band = np.clip(low, 0, 1), np.clip(high, 0, 1)
            axes.fill_between(curve.steps, *band, color=color, alpha=0.16, linewidth=0)
        if len(curve.steps) == 1:
            axes.plot(curve.steps, curve.progress, "o", color=color)
    axes.set_ylim(0, 1.03)
    if len(curves) <= MOST_NAMED:
        _legend(axes)
    return figure


def lines_figure(lines: Mapping[str, Sequence[tuple[float, float]]], xlabel: str, ylabel: str = "") -> Figure:
    """Any few series of (x, y) points; gaps where y is not finite."""
    figure, axes = _axes(xlabel, ylabel)
    for index, (label, points) in enumerate(lines.items()):
        values = np.asarray(points, np.float64).reshape(-1, 2)
        axes.plot(values[:, 0], values[:, 1], color=COLORS[CYCLE[index % len(CYCLE)]], label=label)
    _legend(axes)
    return figure


def strip_figure(frames: NDArray[np.uint8], progress: Sequence[float], steps: Sequence[int]) -> Figure:
    """A film strip: frames (F, H, W, 3) uint8 in a row, under each its step and its progress as a bar."""
    count = len(frames)
    figure, axes = subplots(1, count, figsize=(1.25 * count, 1.7), squeeze=False)
    for axis, frame, value, step in zip(axes[0], frames, progress, steps, strict=True):
        height, width = frame.shape[:2]
        axis.imshow(frame)
        axis.barh(height * 1.07, width, height * 0.05, left=-0.5, color=COLORS["line"], clip_on=False)
        axis.barh(height * 1.07, width * value, height * 0.05, left=-0.5, color=COLORS["blue"], clip_on=False)
        axis.text(width / 2, height * 1.28, f"{value:.2f} · step {step}", ha="center", fontsize=8)
        axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        axis.set_axis_off()
    return figure


def to_svg(figure: Figure, inline: bool = False) -> str:
    """The figure as SVG text; ``inline`` for a page: no background, no ids, colours that the page can
    repaint."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context(cast(Any, STYLE)):
        figure.savefig(buffer, format="svg", transparent=inline, metadata={"Date": None})
    text = buffer.getvalue()
    if not inline:
        return text
    text = re.sub(r'<g id="[^"]*">', "<g>", text[text.index("<svg") :])
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for name, color in COLORS.items():
        text = text.replace(color, f"var(--{name}, {color})")
    text = text.replace("'DejaVu Sans', sans-serif", "inherit")
    return re.sub(r'(<svg [^>]*?)width="[^"]*" height="[^"]*"|height="[^"]*pt" width="[^"]*pt"', r"\1", text, count=1)


def to_png(figure: Figure, dpi: int = 160) -> bytes:
    """The figure as PNG bytes on white."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor="white", bbox_inches="tight")
    return buffer.getvalue()


def _axes(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    figure, axes = subplots()
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.margins(x=0.02)
    return figure, axes


def subplots(*grid: int, figsize: tuple[float, float] = WIDE, **options: Any) -> tuple[Figure, Any]:
    """A figure and its axes in our style; pyplot's state, and so the user's windows, are left alone."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(cast(Any, STYLE)):
        figure = Figure(figsize=figsize, layout="constrained")
        FigureCanvasAgg(figure)
        return figure, figure.subplots(*grid, **options)


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.0), "ncols": 3}
        axes.legend(**place, columnspacing=1.2, handlelength=1.4, frameon=False, labelcolor=COLORS["ink"])


def _running_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """The mean of the last ``window`` values, of fewer at the start."""
    total = np.concatenate(([0.0], np.cumsum(values)))
    upto = np.arange(1, len(values) + 1)
    start = np.maximum(0, upto - window)
    return np.asarray((total[upto] - total[start]) / (upto - start))
