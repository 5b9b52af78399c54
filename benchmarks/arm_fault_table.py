"""The 54 faults as a table for people: our chain and plain ``lerobot-rollout`` side by side.

python benchmarks/arm_fault_table.py   (results/arm_faults.md from arm_faults.json; arm_faults.py writes it, too)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robo_reward.runs import atomic

RESULTS = Path(__file__).parent / "results"
COLUMNS = (
    "", "fault", "listed", "guarded: what came of it", "held after, s", "exit", "beyond limits", "motors on at the end",
    "black box", "plain: moved on for, s", "exit", "beyond limits", "motors on at the end",
)  # fmt: skip
TEXT = """# The 54 faults, side by side

Written by `benchmarks/arm_faults.py` from `arm_faults.json`. What is listed stood in
`benchmarks/arm_faults_expected.yaml` before anything was run. Everything but exit codes is judged by the bytes on the
bus. "Held after": from the fault to the first HOLD or FAULT (empty: none was due, or refused before torque). "Beyond
limits": goals, by our limits; plain `lerobot-rollout` has none. "Motors on": of six; after `hold` all of them are, by
design.

"""


def table(faults: list[dict[str, Any]], plain: list[dict[str, Any]], absent: Mapping[str, str]) -> str:
    """A line for each fault; ``absent``: why plain has no row of it."""
    beside = {row["id"]: row for row in plain}
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for row in faults:
        cells = _guarded(row) + _plain(beside.get(row["id"]), absent.get(str(row["id"]), ""))
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _guarded(row: dict[str, Any]) -> list[Any]:
    within = "" if row["within"] is None else f" within {row['within']:g} s"
    box = {True: "whole", False: "NOT WHOLE", None: "none"}[row["black_box_complete"]]
    verdict = "" if row["verdict"] == "as expected" else f", NOT AS LISTED: {row['verdict']}"
    listed = f"{row['expected']}{within}, exit {row['expected_exit_code']}"
    held, beyond = _number(row["time_to_hold"]), _number(row["limit_violations"])
    named = row["name"].replace("_", " ")
    return [row["id"], named, listed, row["outcome"] + verdict, held, row["exit_code"], beyond, on(row["torque"]), box]


def _plain(row: dict[str, Any] | None, why: str) -> list[Any]:
    if row is None:
        return [f"not run: {why}", "", "", ""]
    ended = "hung, killed" if row["hung"] else row["exit_code"]
    return [_number(row["seconds_of_motion_after"]), ended, row["limit_violations"], len(row["torque_left_on"])]


def on(torque: Mapping[str, bool]) -> int:
    """How many motors were powered."""
    return sum(torque.values())


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def write_table() -> None:
    """From the result as it is."""
    result = json.loads((RESULTS / "arm_faults.json").read_text())
    rows = table(result["faults"], result["rows"], result["summary"]["plain_not_applicable"])
    atomic.write_text(RESULTS / "arm_faults.md", TEXT + rows)


if __name__ == "__main__":
    write_table()
