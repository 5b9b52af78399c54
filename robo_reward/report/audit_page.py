"""The report card as one self-contained page: the verdict first, then why, then every figure."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from robo_reward.report import html as report_page

STATE = {"pass": "good", "care": "care", "refuse": "bad"}
MEANING = {
    "pass": "This reward may train a policy.",
    "care": "This reward may train a policy; watch what is listed below.",
    "refuse": "This reward can be hacked, or does not tell success from failure. Do not train on it.",
}


def audit_page(report: Mapping[str, Any], name: str) -> str:
    """The HTML of ``audit.json``'s content; ``name`` says which model it is about."""
    verdict = str(report["verdict"])
    parts = [
        f'<header><p class="muted small">robo-reward audit</p><h1>{escape(name)}</h1>',
        f'<div class="verdict"><div class="rate">{escape(verdict)}</div>'
        f'<div class="beside"><p><b>{escape(MEANING[verdict])}</b></p></div></div>',
        f'<div class="badges">{"".join(_badges(report))}</div></header><div class="grid">',
        _reasons(report),
        report_page.card("Figures", report_page.table(_figure_rows(report)), FIGURE_NOTE, full=True),
        report_page.card("Probes", report_page.table(_probe_rows(report)), PROBE_NOTE, full=True),
        *_attack(report.get("attack")),
        report_page.card("Cost", report_page.table([report["cost"]] if report["cost"] else [])),
        report_page.card("Episodes", report_page.table(_episode_rows(report)), _distance(report)),
        "</div>",
    ]
    return report_page.page(f"audit: {verdict}", "\n".join(part for part in parts if part))


FIGURE_NOTE = "Sound: the bound for a pass. An empty value was not measured; what has no bound is told, not judged."
PROBE_NOTE = "Each probe shows the reward an episode whose worth is known; a hackable reward overrates it."


def _badges(report: Mapping[str, Any]) -> list[str]:
    judged = [row["passed"] for row in report["probes"].values() if row["severity"] != "told"]
    failed, tried = judged.count(False), len(judged) - judged.count(None)
    shown = [report_page.badge(f"{tried - failed} of {tried} probes passed", "bad" if failed else "good")]
    shown.append(report_page.badge(str(report.get("env") or report.get("data") or "recorded episodes")))
    shown.append(report_page.badge(f"seed {report['seed']}"))
    shown.append(report_page.badge(f"weights {str(report['weights_sha256'])[:12]}"))
    return shown


def _reasons(report: Mapping[str, Any]) -> str:
    rows = "".join(f"<li>{escape(reason)}</li>" for reason in report["reasons"]) or "<li>nothing was found</li>"
    content = f"<ul>{rows}</ul>"
    if report["not_measured"]:
        content += f'<p class="muted small">Not measured: {escape(", ".join(report["not_measured"]))}</p>'
    return report_page.card("Why", content, full=True)


def _figure_rows(report: Mapping[str, Any]) -> list[dict[str, object]]:
    rows = []
    for name, value in report["figures"].items():
        bound = None if name in report["not_judged"] else report["bounds"].get(name)
        sound = None if bound is None else f"{'≥' if bound[2] else '≤'} {bound[0]:g}"
        rows.append({"figure": name, "value": value, "sound": sound})
    return rows


def _distance(report: Mapping[str, Any]) -> str:
    measured = report["figures"].get("epic") is not None
    return str(report["distance"]) if measured else ""


def _probe_rows(report: Mapping[str, Any]) -> list[dict[str, object]]:
    said = {True: "passed", False: "failed", None: "not tried"}
    return [
        {
            "probe": name,
            "result": "told" if row["severity"] == "told" and row["passed"] is False else said[row["passed"]],
            "what a sound reward keeps": row["claim"],
            "measured": ", ".join(f"{key} {value:.2f}" for key, value in row["values"].items() if value is not None),
        }
        for name, row in report["probes"].items()
    ]


def _attack(attack: Mapping[str, Any] | None) -> list[str]:
    """Over-optimisation: what the reward says and what is true, the harder one searches."""
    if not attack:
        return []
    from robo_reward.report.plots import lines_figure, to_svg

    cards = []
    for key, along, title in (("best_of_n", "n", "Best of n"), ("search", "generation", "Policy search")):
        rows = attack[key]
        if len(rows) < 2:  # a point is no curve
            continue
        lines = {
            "the reward's score": [(row[along], row["score"]) for row in rows],
            "true success": [(row[along], row["success"]) for row in rows],
        }
        picture = to_svg(lines_figure(lines, along), inline=True)
        cards.append(report_page.card(title, picture, "A score that rises without success is being hacked."))
    return cards


def _episode_rows(report: Mapping[str, Any]) -> list[dict[str, object]]:
    return [{"kind": kind, **row} for kind, row in report["episodes"].items()]
