"""The card of a fitted reward model: what it is, what it was fitted on, how it was judged, and what it is for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

VERDICTS = {
    "pass": "The audit found nothing against it.",
    "care": "**Care**: the audit found a weakness; look at progress curves before trusting it.",
    "refuse": "**Refused**: the audit found that it can be fooled; do not train on it.",
}


@dataclass(frozen=True, slots=True)
class CardFacts:
    """``kind``: the reward model's name; ``split``: what split.json holds; ``metrics``: the audit's figures."""

    name: str
    kind: str
    views: Sequence[str]
    split: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]
    env: str | None
    verdict: str | None
    settings: str
    use: str
    seed: int
    version: str
    metrics: Mapping[str, float | None] = field(default_factory=dict)


def model_card(facts: CardFacts) -> str:
    """README.md as the hub wants it: metadata in yaml, then sections."""
    parts = [
        f"---\n{_metadata(facts)}---\n\n# {facts.name}",
        f"A `{facts.kind}` reward for robots, fitted by robo-reward {facts.version} (seed {facts.seed}).",
        _section("Tasks", _tasks(facts)),
        _section("Reads", [f"* view `{view}`" for view in facts.views] or ["* the state vector; no pictures"]),
        _section("Data", _data(facts)),
        _section("Audit", [VERDICTS.get(facts.verdict or "", "Not audited."), "", *_metrics(facts.metrics)]),
        _section("Use", ["```", facts.use, "```"]),
        _section("Intended use and limits", [_limits(facts)]),
        _section("Settings", ["```yaml", facts.settings.strip(), "```"]),
    ]
    return "\n\n".join(parts) + "\n"


def _tasks(facts: CardFacts) -> list[str]:
    """Those that it was fitted on."""
    fitted, held_out = ({str(row["task"]) for row in facts.split["demonstrations"][k]} for k in ("fitted", "held_out"))
    return [f"* {task}{'' if task in held_out else ' (no demonstration held out)'}" for task in sorted(fitted)]


def _metadata(facts: CardFacts) -> str:
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        library_name="robo-reward",
        pipeline_tag="robotics",
        tags=["robotics", "reward-model", "robo-reward", facts.kind],
        datasets=[o for o in _origins(facts) if re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", o)] or None,
    )
    return str(data.to_yaml()) + "\n"


def _origins(facts: CardFacts) -> list[str]:
    rows = facts.split["demonstrations"]
    return sorted({str(row["origin"]) for side in rows.values() for row in side})


def _data(facts: CardFacts) -> list[str]:
    lines = ["| | fitted on | held out |", "|---|---|---|"]
    for part in ("demonstrations", "negatives"):
        sides = facts.split[part]
        lines.append(f"| {part} | {len(sides['fitted'])} | {len(sides['held_out'])} |")
    places = ", ".join(f"`{public_name(o)}`" for o in _origins(facts))
    stepped = f" Failures were stepped in `{facts.env}`." if facts.env else " Failures are copies of demonstrations."
    more = f"From {places}.{stepped} Episodes are split by video; `split.json` lists both sides."
    return [*lines, "", more]


def public_name(origin: str) -> str:
    """A dataset without the folders of the machine it lay on."""
    return origin.rstrip("/").rsplit("/", 1)[-1] if origin.startswith(("/", ".", "~")) else origin


def _metrics(metrics: Mapping[str, float | None]) -> list[str]:
    if not metrics:
        return []
    shown = [(k.removeprefix("audit/"), "not measured" if v is None else f"{v:.3f}") for k, v in metrics.items()]
    return ["| figure | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in shown)]


def _limits(facts: CardFacts) -> str:
    world = f"the scenes of `{facts.env}`" if facts.env else "the scenes of the datasets above"
    return (
        f"For training and judging policies on the tasks above, in {world}, with these cameras. It knows nothing of "
        "other tasks, cameras or robots, and is no safety device. A policy that optimises a learned reward finds its "
        "errors: audit it again on the policy's own episodes."
    )


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"## {title}", "", *lines])
