"""All 54 faults against the running chain, judged by the bytes on the bus; plain ``lerobot-rollout`` beside it.

python benchmarks/arm_faults.py [--only 1,2,36] [--chains guarded,plain]   (a quarter of an hour each on two cores)

What must happen is listed in ``arm_faults_expected.yaml``, written before anything was run. Finished faults are kept as
cells; delete ``results/cells/arm_faults/`` to run them again.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import arm_chain as chain
import arm_fault_child as child
import arm_plain as plain
import numpy as np
import yaml
from arm_fault_table import write_table
from arm_wire import Box, goals_sent, read_wire, rest_after, violations
from cells import Row, run_cells, write_result

from robo_reward.real_robot.emulation.faults import FAULTS
from robo_reward.real_robot.emulation.wire_log import WireLog
from robo_reward.runs import atomic
from robo_reward.runs.summary import git_commit

EXPECTED: dict[int, tuple[str, int, float | None]] = {
    int(number): tuple(row)
    for number, row in yaml.safe_load(Path(__file__).with_name("arm_faults_expected.yaml").read_text()).items()
}
AFTER = ("hold", "torque0", "lost")
STEP_AT_POWER = 1.0
"""Degrees that a joint may move when torque comes on (fault 46)."""


def guarded(fault: int, runs: dict[str, Path], processes: Any) -> Row:
    """One fault on our chain; its row."""
    left = chain.run(fault, runs, processes)
    log, box = read_wire(left.folder / "wire.jsonl"), Box.read(left.folder / "box.jsonl")
    expected, code, within = EXPECTED[fault]
    held = held_after(left, box)
    limits = box.limits()
    outcome = observed(left, box, log)
    broken = violations(log, *limits, by_period=True) if limits else None
    row: Row = {
        "id": fault,
        "name": FAULTS[fault].name,
        "expected": expected,
        "outcome": outcome,
        "held": held is not None or outcome == "refused",
        "time_to_hold": held,
        "within": within,
        "time_to_rest": rest_after(log, left.strike) if left.strike and outcome in AFTER else None,
        "torque_zero": not any(left.torque.values()),
        "torque": left.torque,
        "exit_code": left.exit_code,
        "expected_exit_code": code,
        "black_box_complete": box.complete(log) if box.records else None,
        "limit_violations": None if broken is None else sum(broken.values()),
        "violations": broken,
        "server": left.server,
        "counts": left.notes.pop("counts", None),
        "notes": left.notes,
        "said": re.sub(r"/(tmp|dev|run)/\S+", "...", left.said)[:200],
        "load": round(os.getloadavg()[0], 1),
        "git_commit": git_commit(),
    }
    row["verdict"] = verdict(row, log, left)
    shutil.rmtree(left.folder, ignore_errors=True)
    return row


def held_after(left: chain.Left, box: Box) -> float | None:
    """Seconds from the fault until the first HOLD or FAULT that lasts or is ended by a fresh command."""
    if not left.strike:
        return None
    stops = [t for t, state, _, _ in box.states(left.strike) if state != "RUN"]
    return round(max(stops[0], 0.0), 3) if stops and (left.exit_code != 0 or not at_end(stops[0], left)) else None


def at_end(t: float, left: chain.Left) -> bool:
    """Whether a hold is the one at the end of an episode that ran its time."""
    seconds = chain.SECONDS.get(left.fault, 7.0)
    return t > seconds - chain.DELAY - 0.2


def observed(left: chain.Left, box: Box, log: WireLog) -> str:
    """What came of it, in the words of the list of expectations."""
    ever_on = any(write.value for write in log.writes("Torque_Enable"))
    if not ever_on and not left.strike:
        return "refused"
    states = box.states(left.strike)
    if left.server.get("state") == "FAULT":
        reached = [on for name, on in left.torque.items() if not (left.fault == 35 and name == "elbow_flex")]
        if not any(reached):
            return "torque0"
        return "lost" if left.fault == 42 and not goals_sent(log, left.strike + 1.0) else "torque left on"
    if left.exit_code == 0:
        holds = [t for t, state, _, _ in states if state != "RUN" and not at_end(t, left)]
        return "pause" if holds else "run"
    return "hold" if left.server.get("latched") and all(left.torque.values()) else "unclear"


SAME = {"limited": ("run", "pause", "limited"), "run": ("run", "pause"), "pause": ("pause", "run")}
"""A pause on the way is no harm where none was needed; where one is due, its time is judged."""


def verdict(row: Row, log: WireLog, left: chain.Left) -> str:
    """ "as expected", or what was not."""
    wrong = []
    if row["outcome"] not in SAME.get(row["expected"], (row["expected"],)):
        wrong.append(f"{row['outcome']} instead of {row['expected']}")
    if row["exit_code"] != row["expected_exit_code"]:
        wrong.append(f"exit code {row['exit_code']} instead of {row['expected_exit_code']}")
    if row["within"] is not None and (row["time_to_hold"] is None or row["time_to_hold"] > row["within"]):
        wrong.append(f"held after {row['time_to_hold']} s instead of {row['within']} s")
    if row["limit_violations"]:
        wrong.append(f"{row['limit_violations']} goals beyond limits")
    if row["black_box_complete"] is False:
        wrong.append("black box incomplete")
    return "; ".join(wrong + special(row, log, left)) or "as expected"


def special(row: Row, log: WireLog, left: chain.Left) -> list[str]:
    """What the list says of single faults beyond outcome and time."""
    counts, notes = row["counts"] or {}, row["notes"]
    checks = {
        18: counts.get("late", 0) > 0,
        43: notes.get("second", {}).get("exit_code") == 2,
        46: jump(log) < STEP_AT_POWER,
        50: counts.get("by_hand", 0) > 5,
        51: counts.get("paused", 0) > 5 and counts.get("by_hand", 0) == 0,
        53: all(notes.get("e_stop", {}).get(key) for key in ("torque_after_reset", "in_hold", "in_fault")),
        54: notes.get("again", {}).get("exit_code") == row["expected_exit_code"],
    }
    return [] if checks.get(row["id"], True) else [f"not as the list says: {counts or notes}"]


def jump(log: WireLog) -> float:
    """The largest difference between the goal when torque came on and where the motor was asked to be before."""
    from robo_reward.real_robot.emulation.calibration import to_units

    on = next((write.t for write in log.writes("Torque_Enable") if write.value), np.inf)
    worst = 0.0
    for at, (name, entry) in enumerate(log._calibration.items()):
        last = [write.value for write in log.goals(name) if write.t < on]
        worst = max(worst, abs(to_units(name, last[-1], entry) - child.START[at]) if last else np.inf)
    return worst


def commits(rows: list[Row]) -> dict[str, int]:
    """Rows by the commit of this repository that they were run at; plain lerobot-rollout needs of it the arm alone."""
    return dict(Counter(str(row.get("git_commit")) for row in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(map(str, FAULTS)))
    parser.add_argument("--chains", default="guarded,plain")
    asked = parser.parse_args()
    only, chains = [int(number) for number in asked.only.split(",") if number], asked.chains.split(",")
    with tempfile.TemporaryDirectory(prefix="arm-runs-") as home:
        folder = Path(home)
        runs = {"good": child.make_run(folder / "good"), "48": child.make_run(folder / "48", child.KEYS[::-1])}
        runs["49"] = child.make_run(folder / "49", broken=True)
        processes = chain.context()
        cells = {f"guarded_{f:02d}": lambda f=f: guarded(f, runs, processes) for f in only if "guarded" in chains}
        run_cells("arm_faults", cells, jobs=1)
        checkpoint = plain.make_checkpoint(folder / "act") if "plain" in chains else folder
        beside = [f for f in only if f in plain.APPLIES and "plain" in chains]
        run_cells("arm_faults", {f"plain_{f:02d}": lambda f=f: plain.row(f, checkpoint, processes) for f in beside}, 1)
    write()


def write() -> None:
    """All finished faults as one result."""
    every = {f"{kind}_{f:02d}": lambda: {} for kind in ("guarded", "plain") for f in FAULTS}
    rows = run_cells("arm_faults", every, jobs=0)
    faults = [row for row in rows if "expected" in row]
    beside = [row for row in rows if "expected" not in row]
    timed = [row["time_to_hold"] for row in faults if row["within"] is not None and 11 <= row["id"] <= 21]
    summary = {
        "faults": len(faults),
        "as_expected": sum(row["verdict"] == "as expected" for row in faults),
        "not_as_expected": {row["id"]: row["verdict"] for row in faults if row["verdict"] != "as expected"},
        "limit_violations": sum(row["limit_violations"] or 0 for row in faults),
        "slowest_hold_of_timing_faults": max(timed, default=None),
        "plain_lerobot": plain.summary(beside),
        "plain_not_applicable": plain.NOT_APPLICABLE,
        "load": [min((r["load"] for r in faults), default=None), max((r["load"] for r in faults), default=None)],
        "git_commit": {"guarded": commits(faults), "plain": commits(beside)},
        "plant": "IdealPlant, pictures of 48x64 made by it; LeRobot's SO-101 classes and the vendor's SDK on a pty",
    }
    write_result("arm_faults", "python benchmarks/arm_faults.py", beside, summary, (0,))
    path = Path(__file__).parent / "results" / "arm_faults.json"
    atomic.write_json(path, {**json.loads(path.read_text()), "faults": faults})
    write_table()
    print(summary)


if __name__ == "__main__":
    main()
