"""Soak: the arm server on an emulated bus that loses 1% of all packets; drift, memory, holds and their reasons.

python benchmarks/arm_soak.py [--minutes 60]   (a quarter of a core; one row a minute; an hour is arm_soak.json, less
is arm_soak_short.json)   |   --box FILE: only judges the holds in a black box that was kept
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
from robo_reward.real_robot.guard import CommandPlan
from robo_reward.runs.summary import git_commit

LOSS = 0.01
HOUR = 60
HZ = 30.0
SWING = {"shoulder_pan": 40.0, "shoulder_lift": 25.0, "elbow_flex": 25.0, "wrist_flex": 30.0, "wrist_roll": 60.0}
MOVING, STILL = 50.0, 10.0
"""Seconds of each minute: it swings, then it stands at home and true position and goal are compared."""
PLANT = {"_target_": "robo_reward.real_robot.emulation.ideal_plant.IdealPlant"}
QUIET = 0.3
"""Seconds before a hold in which its cause must show in the record."""
SILENCE, PERIOD = CommandPlan().timeout, 0.02
"""Seconds: without a command, the guard holds; of the server."""


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


def minute(robot: Any, home: dict[str, float], number: int) -> dict[str, Any]:
    """One minute of commands; its row."""
    began, commands, refused, slowest = time.monotonic(), 0, 0, 0.0
    while (gone := time.monotonic() - began) < MOVING + STILL:
        due = began + (int(gone * HZ) + 1) / HZ
        asked = time.monotonic()
        seen = robot.client.observe()
        view = robot.client.act(goal_at(gone, home), seen.read_at)
        slowest = max(slowest, time.monotonic() - asked)
        commands += 1
        refused += bool(view.refused)
        if view.latched:
            raise UserError(f"the arm is in {view.state}: {view.reason}")
        time.sleep(max(0.0, due - time.monotonic()))
    truth, goal = robot.twin.positions(), robot.client.observe().goal
    off = max(abs(truth[f"{name}.pos"] - at) for name, at in goal.items())
    return {
        "minute": number,
        "off_at_rest": round(off, 3),
        "commands": commands,
        "refused": refused,
        "slowest_answer_ms": round(slowest * 1000, 1),
        "server_mb": memory_mb(int(robot.launched.said["pid"])),
        "client_mb": memory_mb(os.getpid()),
        "load": round(os.getloadavg()[0], 1),
    }


def holds(box: Path) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Every HOLD between the first command and the last: (by cause, those without one, bus troubles).

    All from the black box: a command's record has the time at which it was sent and that at which it arrived, which is
    what the guard counts from. (What the client sees of it, the answer, comes later on a busy machine.)
    """
    commands: list[tuple[float, float]] = []
    stops: list[tuple[float, str]] = []
    missed: list[float] = []
    troubles: Counter[str] = Counter()
    for record in read_black_box(box):
        if "command" in record and not record["refused"]:
            commands.append((record["t"], record["command"]["sent_at"]))
        elif "trouble" in record:
            missed.append(record["t"])
            troubles["write" if record["trouble"].startswith("write") else "read"] += 1
        elif record.get("event") == "state" and record["value"][0] != "RUN":
            stops.append((record["t"], "".join(letter for letter in str(record["value"][1]) if not letter.isdigit())))
    within = [(t, reason) for t, reason in stops if commands and commands[0][0] <= t <= commands[-1][0]]
    causes = [(reason, cause_of(t, reason, commands, missed)) for t, reason in within]
    by_cause = Counter(f"{reason}: {cause}" for reason, cause in causes if cause)
    return by_cause, Counter(reason for reason, cause in causes if not cause), troubles


def cause_of(t: float, reason: str, commands: list[tuple[float, float]], missed: list[float]) -> str:
    """What the record shows to have led to a hold at ``t``, empty where it shows nothing.

    ``commands``: (arrived, sent) of each; ``missed``: when reads failed, whose record comes behind that of the hold.
    """
    if "control loop" in reason:
        return "the loop was late, as it says"
    if "reading" in reason:
        at = bisect.bisect_right(missed, t + 0.05)
        return "reads failed" if at and missed[at - 1] > t - QUIET else ""
    if "command" in reason:
        at = bisect.bisect_right(commands, (t, math.inf))
        (_, last_sent), (arrived, sent) = commands[at - 1], commands[min(at, len(commands) - 1)]
        if sent - last_sent > SILENCE - PERIOD:
            return "the client sent none"
        if arrived - sent > PERIOD:
            return "a command was on its way"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--box", type=Path, default=None)
    told = parser.parse_args()
    if told.box is not None:
        print(*(dict(found) for found in holds(told.box)), sep="\n")
        return
    minutes: int = told.minutes
    folder = Path(tempfile.mkdtemp(prefix="arm-soak-"))
    robot = emulated_robot(
        {"type": "so101_follower"}, PLANT, views=(), black_box=folder / "box.jsonl", answer_seconds=2.0
    )
    rows: list[dict[str, Any]] = []
    ended = "time"
    try:
        robot.connect()
        robot.twin.inject(33, share=LOSS, seconds=60.0 * minutes + 600)
        home = dict(robot.client.observe().goal)
        for number in range(minutes):
            rows.append(minute(robot, home, number))
            print(rows[-1], flush=True)
            if number % 10 == 9:
                _write(minutes, rows, folder, "running")
    except UserError as error:
        ended = str(error)
    finally:
        release(robot)
    _write(minutes, rows, folder, ended)


def _write(asked: int, rows: list[dict[str, Any]], folder: Path, ended: str) -> None:
    by_cause, unexplained, troubles = holds(folder / "box.jsonl")
    later = rows[2:] or rows
    slope = np.polyfit([r["minute"] for r in later], [r["server_mb"] for r in later], 1)[0] if len(later) > 2 else None
    summary = {
        "minutes": len(rows),
        "minutes_asked": asked,
        "ended": ended,
        "loss": LOSS,
        "git_commit": git_commit(),
        "commands": sum(row["commands"] for row in rows),
        "periods_with_trouble": dict(troubles),
        "holds_by_cause": dict(by_cause),
        "unexplained_holds": dict(unexplained),
        "refused": sum(row["refused"] for row in rows),
        "worst_off_at_rest": max((row["off_at_rest"] for row in rows), default=None),
        "server_mb_first_last": [later[0]["server_mb"], later[-1]["server_mb"]] if later else None,
        "server_mb_per_hour": None if slope is None else round(float(slope) * 60, 3),
        "load": [min((r["load"] for r in rows), default=None), max((r["load"] for r in rows), default=None)],
    }
    claim = "arm_soak" if asked >= HOUR else "arm_soak_short"
    write_result(claim, f"python benchmarks/arm_soak.py --minutes {asked}", rows, summary, (0,))


if __name__ == "__main__":
    main()
