"""Judges an arm by the bytes on its bus: limits, when it came to rest, torque; and its black box by the same bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.real_robot.black_box import read_black_box
from robo_reward.real_robot.emulation.calibration import calibrate
from robo_reward.real_robot.emulation.ideal_plant import IdealPlant
from robo_reward.real_robot.emulation.wire_log import WireLog

CALIBRATION = calibrate(IdealPlant().joints)
NAMES = tuple(CALIBRATION)
TICK = {n: 100 / (c["range_max"] - c["range_min"]) if n == "gripper" else 360 / 4095 for n, c in CALIBRATION.items()}
"""One encoder tick in LeRobot's units."""
VELOCITY = {name: 150.0 if name == "gripper" else 60.0 for name in NAMES}
ACCELERATION = {name: 1000.0 if name == "gripper" else 300.0 for name in NAMES}
PERIOD = 0.02
Rows = NDArray[np.float64]


def read_wire(path: Path) -> WireLog:
    """A log that ``save_wire`` wrote."""
    log = WireLog(CALIBRATION)
    for line in path.read_text().splitlines():
        if line:
            event = json.loads(line)
            log.record(event["t"], event["dir"], bytes.fromhex(event["hex"]))
    return log


@dataclass(frozen=True)
class Goals:
    """All goals of one motor, cut where somebody switched torque."""

    name: str
    parts: list[tuple[Rows, Rows]]


def goals_of(log: WireLog) -> list[Goals]:
    """What was asked of each motor while its torque stayed as it was."""
    edges = np.array(sorted(write.t for write in log.writes("Torque_Enable")))
    found = []
    for name in NAMES:
        t, goal = log.goals_in_units(name)
        part = np.searchsorted(edges, t)
        found.append(Goals(name, [(t[part == k], goal[part == k]) for k in np.unique(part)]))
    return found


def violations(log: WireLog, lower: Rows, upper: Rows, *, by_period: bool) -> dict[str, int]:
    """How many goals on the wire break a limit.

    ``by_period``: steps are judged by the guard's period of 20 ms, which it never goes below; otherwise by the time
    between the goals (20 ms at least), as suits a program that has no period of its own, and accelerations are not.
    """
    broken = {"position": 0, "velocity": 0, "acceleration": 0}
    for at, goals in enumerate(goals_of(log)):
        tick, name = TICK[goals.name], goals.name
        for t, goal in goals.parts:
            broken["position"] += int(((goal < lower[at] - tick) | (goal > upper[at] + tick)).sum())
            step = np.abs(np.diff(goal))
            seconds = np.full(len(step), PERIOD) if by_period else np.maximum(np.diff(t), PERIOD)
            reach = VELOCITY[name] * seconds + tick + 1e-6
            broken["velocity"] += int((step > reach).sum())
            if by_period:
                turn = np.abs(np.diff(goal, 2))
                broken["acceleration"] += int((turn > ACCELERATION[name] * PERIOD**2 + 2 * tick + 1e-6).sum())
    return broken


def rest_after(log: WireLog, since: float) -> float | None:
    """Seconds from ``since`` until the last goal that differed from the one before it; None where none did."""
    last = -np.inf
    for name in NAMES:
        t, goal = log.goals_in_units(name)
        moved = t[1:][np.abs(np.diff(goal)) > 1e-9]
        last = max(last, float(moved[-1]) if len(moved) else -np.inf)
    return round(last - since, 3) if last > since else None


def goals_sent(log: WireLog, since: float = -np.inf) -> int:
    """Goal packets from ``since`` on."""
    return len({write.t for write in log.goals(NAMES[0], since)})


@dataclass(frozen=True)
class Box:
    """What the black box says of a run."""

    records: list[dict[str, Any]]
    damaged: int

    @classmethod
    def read(cls, path: Path) -> Box:
        if not path.exists():
            return cls([], 0)
        lines = [line for line in path.read_bytes().split(b"\n") if line]
        records = list(read_black_box(path))
        return cls(records, len(lines) - len(records))

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record.get("event") == kind]

    def limits(self) -> tuple[Rows, Rows] | None:
        """(lower, upper) of the joints, each (J,), if a server started."""
        started = self.events("start")
        if not started:
            return None
        limits = started[0]["value"]["limits"]
        return np.array(limits["lower"]), np.array(limits["upper"])

    def states(self, since: float) -> list[tuple[float, str, str, bool]]:
        """(seconds after ``since``, state, reason, latched) of every change from then on."""
        return [(e["t"] - since, *e["value"]) for e in self.events("state") if e["t"] >= since - 0.005]

    def complete(self, log: WireLog) -> bool:
        """No line is damaged, and every goal on the wire while the server ran is one that the box knows."""
        if self.damaged or not self.records:
            return False
        known = np.array([r["goal"] for r in self.records if r.get("goal")])
        if not len(known):
            return bool(self.events("refused"))
        first = min(r["t"] for r in self.records if r.get("goal"))
        for at, name in enumerate(NAMES):
            _, goal = log.goals_in_units(name, since=first + PERIOD)
            told = np.unique(known[:, at])
            if len(goal) and len(told):
                near = np.clip(np.searchsorted(told, goal), 1, max(len(told) - 1, 1))
                away = np.minimum(np.abs(told[near - 1] - goal), np.abs(told[np.minimum(near, len(told) - 1)] - goal))
                if (away > 1.01 * TICK[name]).any():
                    return False
        return True
