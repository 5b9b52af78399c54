"""Soak: the arm server on an emulated bus that loses 1% of all packets; drift, memory, holds and their reasons.

python benchmarks/arm_soak.py [--minutes 60]   (a quarter of a core; state every ten seconds, one row a minute)
"""

from __future__ import annotations

import argparse
import bisect
import math
import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from cells import write_result

from robo_reward.errors import UserError
from robo_reward.real_robot.black_box import read_black_box
from robo_reward.real_robot.emulated_robot import emulated_robot, release

LOSS = 0.01
HZ = 30.0
SWING = {"shoulder_pan": 40.0, "shoulder_lift": 25.0, "elbow_flex": 25.0, "wrist_flex": 30.0, "wrist_roll": 60.0}
MOVING, STILL = 50.0, 10.0
"""Seconds of each minute: it swings, then it stands at home and true position and goal are compared."""
PLANT = {"_target_": "robo_reward.real_robot.emulation.ideal_plant.IdealPlant"}
QUIET = 0.3
"""Seconds before a hold in which its cause must show in the record."""


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 2)


def goal_at(seconds: float, home: dict[str, float]) -> dict[str, float]:
    """Slow swings in the first part of each minute, home in the rest."""
    within = seconds % (MOVING + STILL)
    if within > MOVING:
        return home
    swung = {n: home[n] + a * math.sin(2 * math.pi * within / (5 + i)) for i, (n, a) in enumerate(SWING.items())}
    return {**home, **swung}


def minute(robot: Any, home: dict[str, float], number: int, acts: list[float]) -> dict[str, Any]:
    """One minute of commands; its row."""
    began, refused, slowest = time.monotonic(), 0, 0.0
    while (gone := time.monotonic() - began) < MOVING + STILL:
        due = began + (int(gone * HZ) + 1) / HZ
        asked = time.monotonic()
        seen = robot.client.observe()
        view = robot.client.act(goal_at(gone, home), seen.read_at)
        slowest = max(slowest, time.monotonic() - asked)
        acts.append(time.monotonic())
        refused += bool(view.refused)
        if view.latched:
            raise UserError(f"the arm is in {view.state}: {view.reason}")
        time.sleep(max(0.0, due - time.monotonic()))
    truth, goal = robot.twin.positions(), robot.client.observe().goal
    off = max(abs(truth[f"{name}.pos"] - at) for name, at in goal.items())
    return {
        "minute": number,
        "off_at_rest": round(off, 3),
        "refused": refused,
        "slowest_answer_ms": round(slowest * 1000, 1),
        "server_mb": memory_mb(int(robot.launched.said["pid"])),
        "client_mb": memory_mb(os.getpid()),
        "load": round(os.getloadavg()[0], 1),
    }


def holds(box: Path, acts: list[float]) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Every HOLD after the first command: (by reason, the ones without a cause in the record, bus troubles)."""
    by_reason: Counter[str] = Counter()
    unexplained: Counter[str] = Counter()
    troubles: Counter[str] = Counter()
    missed: list[float] = []
    for record in read_black_box(box):
        if "trouble" in record:
            missed.append(record["t"])
            troubles["write" if record["trouble"].startswith("write") else "read"] += 1
        if record.get("event") != "state" or record["value"][0] == "RUN" or not acts or record["t"] < acts[0]:
            continue
        if record["t"] > acts[-1]:
            break  # the end of the run
        reason = "".join(letter for letter in str(record["value"][1]) if not letter.isdigit())
        by_reason[reason] += 1
        if not explained(record["t"], reason, acts, missed):
            unexplained[reason] += 1
    return by_reason, unexplained, troubles


def explained(t: float, reason: str, acts: list[float], missed: list[float]) -> bool:
    """A late command: the client was late. A lost reading: reads failed. A late loop says so itself."""
    if "control loop" in reason:
        return True
    if "reading" in reason:
        return any(t - QUIET < at <= t + 0.05 for at in missed[-20:])
    if "command" in reason:
        at = bisect.bisect_right(acts, t)
        before = acts[at - 1] if at else -math.inf
        after = acts[at] if at < len(acts) else math.inf
        return after - before > 0.14
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=60)
    minutes: int = parser.parse_args().minutes
    folder = Path(tempfile.mkdtemp(prefix="arm-soak-"))
    robot = emulated_robot(
        {"type": "so101_follower"}, PLANT, views=(), black_box=folder / "box.jsonl", answer_seconds=2.0
    )
    acts: list[float] = []
    rows: list[dict[str, Any]] = []
    ended = "time"
    try:
        robot.connect()
        robot.twin.inject(33, share=LOSS, seconds=60.0 * minutes + 600)
        home = dict(robot.client.observe().goal)
        for number in range(minutes):
            rows.append(minute(robot, home, number, acts))
            print(rows[-1], flush=True)
            if number % 10 == 9:
                _write(minutes, rows, folder, acts, "running")
    except UserError as error:
        ended = str(error)
    finally:
        release(robot)
    _write(minutes, rows, folder, acts, ended)


def _write(asked: int, rows: list[dict[str, Any]], folder: Path, acts: list[float], ended: str) -> None:
    by_reason, unexplained, troubles = holds(folder / "box.jsonl", acts)
    later = rows[2:] or rows
    slope = np.polyfit([r["minute"] for r in later], [r["server_mb"] for r in later], 1)[0] if len(later) > 2 else None
    summary = {
        "minutes": len(rows),
        "minutes_asked": asked,
        "ended": ended,
        "loss": LOSS,
        "commands": len(acts),
        "periods_with_trouble": dict(troubles),
        "holds": dict(by_reason),
        "unexplained_holds": dict(unexplained),
        "refused": sum(row["refused"] for row in rows),
        "worst_off_at_rest": max((row["off_at_rest"] for row in rows), default=None),
        "server_mb_first_last": [later[0]["server_mb"], later[-1]["server_mb"]] if later else None,
        "server_mb_per_hour": None if slope is None else round(float(slope) * 60, 3),
        "load": [min((r["load"] for r in rows), default=None), max((r["load"] for r in rows), default=None)],
    }
    write_result("arm_soak", "python benchmarks/arm_soak.py", rows, summary, (0,))


if __name__ == "__main__":
    main()
