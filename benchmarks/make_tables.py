"""Prints the README's table from ``benchmarks/results/main_job.json``: median and worst seed of every task.

Run: python benchmarks/make_tables.py [benchmarks/results/main_job.json]
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
COLUMNS = {
    "cloned_success_rate": "plain clone",
    "corrected_success_rate": "best clone",
    "prior_success_rate": "prior alone",
    "success_rate": "robo-reward",
    "false_success_share": "false successes",
}
RESULTS = Path(__file__).parent / "results" / "main_job.json"


def table(rows: Sequence[Row]) -> str:
    """A markdown table: per task the seeds that finished, and 'median (worst)' of each column."""
    head = ["task", "seeds", *COLUMNS.values()]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for task in dict.fromkeys(row["task"] for row in rows):
        mine = [row for row in rows if row["task"] == task]
        done = [row for row in mine if row.get("success_rate") is not None]
        seeds = str(len(done)) if len(done) == len(mine) else f"{len(done)} of {len(mine)} finished"
        lines.append(f"| {task} | {seeds} | {' | '.join(entry(mine, key) for key in COLUMNS)} |")
    return "\n".join(lines)


def entry(rows: Sequence[Row], key: str) -> str:
    """'median (worst)'; the worst of a share of false successes is the largest. A dash where nothing is known."""
    values = [value for row in rows if (value := read(row, key)) is not None]
    if not values:
        return "-"
    worst = max(values) if key == "false_success_share" else min(values)
    return f"{statistics.median(values):.2f} ({worst:.2f})"


def read(row: Row, key: str) -> float | None:
    """A row's entry. A run that failed counts as 0; one that kept its prior was evaluated with the prior alone."""
    if key == "success_rate":
        return float(row.get(key) or 0.0)
    if key == "prior_success_rate" and row.get("kept") == "prior":
        key = "success_rate"
    return None if row.get(key) is None else float(row[key])


def main(words: list[str]) -> None:
    """Prints the table and what it was measured with."""
    found = json.loads(Path(words[0] if words else RESULTS).read_text("utf-8"))
    print(table(found["rows"]))
    print(f"\nMedian (worst seed). {found.get('command')}, {found.get('date')}, {found.get('cpu')}.")


if __name__ == "__main__":
    main(sys.argv[1:])
