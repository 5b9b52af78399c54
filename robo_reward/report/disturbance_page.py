"""Robustness curves as a figure and a page: survival and tracking error against force, with their 95% bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from robo_reward.report import html as report_page
from robo_reward.report.plots import COLORS, CYCLE, subplots, to_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curves = Mapping[str, Mapping[str, Any]]
"""Kind of push -> its part of ``disturbance.json``."""


def disturbance_figure(curves: Curves) -> Figure:
    """Two plots side by side; the second is empty where the task tracks no velocity."""
    figure, (left, right) = subplots(1, 2, figsize=(9.6, 3.2))
    for index, (kind, curve) in enumerate(curves.items()):
        color, points = COLORS[CYCLE[index % len(CYCLE)]], curve["points"]
        force = [p["newtons"] for p in points]
        left.plot(force, [p["survival"] for p in points], "o-", color=color, markersize=3, label=kind, clip_on=False)
        left.fill_between(force, *_band([p["survival_ci95"] for p in points]), color=color, alpha=0.16, linewidth=0)
        known = [p for p in points if p["error"] is not None]
        force = [p["newtons"] for p in known]
        right.plot(force, [p["error"] for p in known], "o-", color=color, markersize=3)
        right.fill_between(force, *_band([p["error_ci95"] for p in known]), color=color, alpha=0.16, linewidth=0)
    left.axhline(0.5, color=COLORS["muted"], linewidth=0.8, linestyle="--")
    left.set(xlabel="force (N)", ylabel="survival", ylim=(-0.03, 1.03))
    right.set(xlabel="force (N)", ylabel="velocity error (m/s)")
    left.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=4, frameon=False, labelcolor=COLORS["ink"])
    return figure


def _band(intervals: Sequence[Sequence[float]]) -> tuple[Any, Any]:
    held = np.asarray(intervals, np.float64).reshape(-1, 2)
    return held[:, 0], held[:, 1]


def disturbance_page(told: Mapping[str, Any], name: str, clips: Mapping[str, bytes]) -> str:
    """The page of ``disturbance.json``; ``clips``: caption -> mp4."""
    curves: Curves = told["curves"]
    rows = [{"push": kind, **_row(curve)} for kind, curve in curves.items()]
    note = "F50: the force at which half fall within the episode. Bands: 95%. Under '>' more than half survived all."
    body = [
        f'<header><p class="muted small">robo-reward evaluate</p><h1>{name}</h1>',
        f'<div class="badges">{report_page.badge(f"{told['episodes']} episodes a point")}'
        f"{report_page.badge(f'seed {told["seed"]}')}</div></header>",
        '<div class="grid">',
        report_page.card("Robustness", to_svg(disturbance_figure(curves), inline=True), note, full=True),
        report_page.card("Half of the episodes survive", report_page.table(rows), " ".join(told["remarks"]), full=True),
        *([report_page.card("Video", report_page.videos(clips), full=True)] if clips else []),
        "</div>",
    ]
    return report_page.page(f"robustness: {name}", "\n".join(body))


def _row(curve: Mapping[str, Any]) -> dict[str, object]:
    low, high = curve["f50_ci95"]
    unpushed = curve["points"][0]
    return {
        "F50 (N)": f"{'> ' if curve['censored'] else ''}{curve['f50']:.0f}",
        "95%": f"{low:.0f} to {'?' if high is None else f'{high:.0f}'}",
        "survival unpushed": unpushed["survival"],
        "error unpushed (m/s)": unpushed["error"],
        "hardest survived (N)": curve["hardest_survived"],
    }
