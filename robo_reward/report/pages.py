"""The report of a run: one page that says how well it went and shows why one can, or cannot, believe it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.report import html as report_page
from robo_reward.report.curve import Curve
from robo_reward.report.plots import (
    Episode,
    curves_figure,
    lines_figure,
    return_figure,
    success_figure,
    to_svg,
)
from robo_reward.runs import atomic

__all__ = ["Curve", "Episode", "ReportData", "Strip", "pick_frames", "write_report"]


@dataclass(frozen=True, slots=True)
class Strip:
    """Some frames of an episode: ``frames`` (F, H, W, 3) uint8, ``progress`` (F,) and ``steps`` (F,)."""

    frames: NDArray[np.uint8]
    progress: Sequence[float]
    steps: Sequence[int]


@dataclass(slots=True)
class ReportData:
    """Everything a report can show; what is left out leaves out its section.

    ``summary``: the content of ``summary.json``. ``evaluations``: (rollouts, success rate) in order.
    ``curves``, ``strips`` and ``videos`` (mp4 bytes) by title. ``metrics``: title -> line -> (rollouts,
    value) points. ``quality``: rows of the reward's own numbers. ``notes``: what a reader must know, beside
    what follows from the summary. ``config``: yaml text.
    """

    title: str = ""
    summary: Mapping[str, Any] = field(default_factory=dict)
    evaluations: Sequence[tuple[int, float]] = ()
    training_episodes: Sequence[Episode] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)
    strips: Mapping[str, Strip] = field(default_factory=dict)
    videos: Mapping[str, bytes] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]] = field(default_factory=dict)
    quality: Sequence[Mapping[str, object]] = ()
    notes: Sequence[str] = ()
    config: str = ""


def write_report(run_folder: Path, data: ReportData) -> Path:
    """Writes ``report/index.html`` below ``run_folder``, self-contained, and returns its path."""
    folder = run_folder / "report"
    folder.mkdir(parents=True, exist_ok=True)
    title = data.title or str(data.summary.get("env") or run_folder.name)
    parts = [_header(title, data.summary), '<div class="grid">', _key_numbers(data.summary), *_pictures(data)]
    parts += [*_figures(data), *_words(data), "</div>"]
    page = report_page.page(f"{title} · robo-reward", "\n".join(part for part in parts if part))
    atomic.write_text(folder / "index.html", page)
    return folder / "index.html"


def pick_frames(frames: NDArray[np.uint8], curve: Curve, count: int = 8) -> Strip:
    """``count`` frames (fewer if there are fewer) evenly along an episode, first and last included."""
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int))
    return Strip(frames[chosen], curve.progress[chosen].tolist(), curve.steps[chosen].tolist())


def _header(title: str, summary: Mapping[str, Any]) -> str:
    kind = f"robo-reward {summary['verb']}" if summary.get("verb") else "robo-reward"
    head = f'<header><p class="muted small">{escape(kind)}</p><h1>{escape(title)}</h1>'
    rate = summary.get("success_rate")
    if rate is not None:
        head += f'<div class="verdict"><div class="rate">{100 * rate:.0f}<small>%</small></div>'
        head += f'<div class="beside">{_beside(rate, summary)}</div></div>'
    else:
        head += '<p class="muted none">No success rate: the task has no test, or none was run.</p>'
    return head + f'<div class="badges">{"".join(_badges(summary))}</div></header>'


def _beside(rate: float, summary: Mapping[str, Any]) -> str:
    episodes, interval, start = (summary.get(k) for k in ("success_episodes", "success_ci95", "cloned_success_rate"))
    text = "<b>of the evaluation episodes succeed</b>"
    if episodes:
        text = f"<b>{round(rate * episodes)} of {episodes} fresh episodes succeed</b>"
    marks, legend = "", []
    if interval is not None:
        low, high = (100 * float(bound) for bound in interval)
        marks += f'<i class="ci" style="left:{low:.1f}%;width:{high - low:.1f}%"></i>'
        legend.append(f"95% interval {low:.1f} to {high:.1f}%")
    if start is not None:
        marks += f'<i class="start" style="left:{100 * start:.1f}%"></i>'
        legend.append(f"cloned start {100 * start:.0f}%")
    marks += f'<i class="point" style="left:{100 * rate:.1f}%"></i>'
    return f'<p>{text}</p><div class="scale">{marks}</div><p class="muted small">{" · ".join(legend)}</p>'


def _badges(summary: Mapping[str, Any]) -> list[str]:
    badges = []
    reward, success = summary.get("used_env_reward"), summary.get("used_env_success")
    if reward is False and success is False:
        badges.append(report_page.badge("oracle-free: no reward, no success flag from the simulator", "good"))
    elif reward or success:
        used = " and ".join(n for n, u in (("reward", reward), ("success", success)) if u)
        badges.append(report_page.badge(f"oracle: trained on the simulator's {used}", "care"))
    audit = summary.get("reward_audit")
    if audit is not None:
        state = {"pass": "good", "care": "care", "refuse": "bad"}.get(str(audit), "")
        badges.append(report_page.badge(f"reward audit: {audit}", state))
    if summary.get("alarm"):
        badges.append(report_page.badge("hacking alarm", "bad"))
    if summary.get("status") not in (None, "done"):
        badges.append(report_page.badge(f"run {summary['status']}", "bad"))
    for key, unit in (("demos", "demonstration"), ("rollouts", "rollout")):
        if summary.get(key) is not None:
            count = summary[key]
            badges.append(report_page.badge(f"{count} {unit}{'' if count == 1 else 's'}"))
    return badges


def _key_numbers(summary: Mapping[str, Any]) -> str:
    shown: dict[str, str] = {}
    for key, text in (
        ("reward_model", "reward"), ("learner", "learner"), ("policy", "policy"), ("seed", "seed"),
        ("env_steps", "environment steps"), ("updates", "updates"), ("frames_rendered", "frames rendered"),
        ("false_success_share", "false success share"), ("learned_return_vs_success", "return vs success"),
        ("env_return", "environment return"),
    ):  # fmt: skip
        if summary.get(key) is not None:
            shown[text] = report_page.show(summary[key])
    for key, text in (
        ("wall_seconds", "wall time"),
        ("cpu_seconds", "CPU time"),
        ("pricing_seconds", "pricing"),
    ):
        if summary.get(key) is not None:
            shown[text] = report_page.seconds(float(summary[key]))
    return report_page.numbers(shown) if shown else ""


def _pictures(data: ReportData) -> list[str]:
    parts = []
    if data.videos:
        parts.append(report_page.card("What it does", report_page.videos(data.videos), full=True))
    if data.strips:
        content = "".join(
            f'<p class="muted small">{escape(name)}</p>{report_page.strip(s.frames, s.progress, s.steps)}'
            for name, s in data.strips.items()
        )
        note = "Under each picture: the progress that the reward claims, and the step."
        parts.append(report_page.card("What the reward saw", content, note, full=True))
    return parts


def _figures(data: ReportData) -> list[str]:
    parts = []
    if data.training_episodes or data.evaluations:
        note = "Read from the sealed log after the last update; no update saw it."
        if data.summary.get("used_env_success") or data.summary.get("used_env_reward"):
            note = ""
        figure = success_figure(data.training_episodes, data.evaluations)
        parts.append(_svg_card("Success over rollouts", to_svg(figure, inline=True), note))
    if data.training_episodes:
        note = "A trustworthy reward pays successes more than failures; high crosses are hacks."
        svg = to_svg(return_figure(data.training_episodes), inline=True)
        parts.append(_svg_card("Learned return against truth", svg, note))
    if data.curves:
        svg = to_svg(curves_figure(data.curves), inline=True)
        parts.append(_svg_card("Progress along an episode", svg, "The band is the ensemble's uncertainty."))
    for title, lines in data.metrics.items():
        svg = to_svg(lines_figure(lines, "rollouts"), inline=True)
        parts.append(_svg_card(title, svg))
    return parts


def _words(data: ReportData) -> list[str]:
    parts = []
    if data.quality:
        parts.append(report_page.card("How good the reward is", report_page.table(data.quality), full=True))
    parts.append(_notes([*_honest(data.summary), *data.notes]))
    folded = report_page.folded("config.yaml", data.config) if data.config else ""
    if data.summary:
        folded += report_page.folded("summary.json", _lines(data.summary))
    if folded:
        parts.append(report_page.card("Settings", folded, full=True))
    return parts


def _honest(summary: Mapping[str, Any]) -> list[str]:
    """What follows from the summary and must not be read past."""
    notes = []
    episodes, share = summary.get("success_episodes"), summary.get("false_success_share")
    if episodes and episodes < 50:
        notes.append(f"Only {episodes} evaluation episodes: the interval above is wide.")
    if share:
        notes.append(f"In {100 * share:.0f}% of the training episodes the reward claimed a success that was none.")
    if summary.get("alarm"):
        notes.append(f"The hacking alarm went off: {report_page.show(summary['alarm'])}.")
    if summary.get("stand_in_visuals"):
        notes.append("Some pictures are stand-ins, not the originals; results on them do not compare.")
    for key, text in (
        ("nan_resets", "simulation(s) became unstable and were reset"),
        ("parse_failures", "answer(s) of a judge could not be read"),
        ("fallbacks", "fallback(s) were used"),
    ):
        if summary.get(key):
            notes.append(f"{report_page.show(summary[key])} {text}.")
    if summary.get("status") not in (None, "done"):
        notes.append(f"The run is {summary['status']}; every number is of an unfinished run.")
    return notes


def _notes(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return report_page.card("What to keep in mind", f"<ul>{items}</ul>", full=True) if notes else ""


def _svg_card(title: str, svg: str, note: str = "", full: bool = False) -> str:
    return report_page.card(title, svg, note, full)


def _lines(summary: Mapping[str, Any]) -> str:
    return "\n".join(f"{key}: {report_page.show(value) or 'null'}" for key, value in summary.items())
