"""What guard and arm server cost: the same LeRobot arm on the same bus with and without them, in the same run.

python benchmarks/arm_latency.py [--seconds 60]   (two emulated arms side by side; half a core)
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import arm_fault_child as child
import numpy as np
from arm_chain import START
from arm_wire import read_wire
from cells import write_result

from robo_reward.real_robot.emulated_robot import emulated_robot, release
from robo_reward.real_robot.emulation.camera_server import CameraSettings
from robo_reward.real_robot.emulation.own_process import EmulatedProcess

HZ = 30.0
STEP = 3.0
"""Degrees that the first joint is asked to move, from rest, for the time until the bus hears of it."""
STEPS = 60
PAUSE = 0.25
JOINT = "shoulder_pan"
INNER = {"type": "so101_follower"}


def plain_robot(twin: EmulatedProcess, folder: Path) -> Any:
    """LeRobot's own robot on the twin's port."""
    from lerobot.robots.so_follower import SO101Follower, SO101FollowerConfig

    robot = SO101Follower(SO101FollowerConfig(port=twin.port, id="twin", calibration_dir=folder))
    robot.connect(calibrate=False)
    return robot


def cycle(robot: Any, goal: dict[str, float]) -> tuple[float, float]:
    """(wall, own CPU) seconds of one observation and one action."""
    wall, cpu = time.perf_counter(), time.thread_time()
    robot.get_observation()
    robot.send_action(goal)
    return time.perf_counter() - wall, time.thread_time() - cpu


def calls(robots: dict[str, Any], seconds: float, pid: int) -> dict[str, Any]:
    """Both robots swing at 30 Hz, turn about; their calls' times and the server's CPU."""
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in robots}
    late = 0
    began, ticks = time.monotonic(), cpu_of(pid)
    for period in range(int(seconds * HZ)):
        goal = dict(zip(child.KEYS, child.swing(period / HZ), strict=True))
        for name in sorted(robots, reverse=bool(period % 2)):
            took[name].append(cycle(robots[name], goal))
        ahead = began + (period + 1) / HZ - time.monotonic()
        late += ahead < 0
        time.sleep(max(0.0, ahead))
    gone = time.monotonic() - began
    wall = {name: np.array([pair[0] for pair in pairs]) * 1000 for name, pairs in took.items()}
    cpu = {name: float(np.sum([pair[1] for pair in pairs])) / gone for name, pairs in took.items()}
    return {
        "call_ms": {name: percentiles(values) for name, values in wall.items()},
        "cpu_cores_of_calls": {name: round(value, 4) for name, value in cpu.items()},
        "cpu_cores_of_server": round((cpu_of(pid) - ticks) / gone, 4),
        "periods": int(seconds * HZ),
        "late_periods": late,
    }


def cpu_of(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def percentiles(values: Any) -> dict[str, float]:
    return {f"p{share}": round(float(np.percentile(values, share)), 3) for share in (50, 90, 99)}


def steps(robots: dict[str, Any]) -> dict[str, list[float]]:
    """Times (perf_counter) at which each robot was asked for a small step from rest, turn about."""
    asked: dict[str, list[float]] = {name: [] for name in robots}
    for turn in range(STEPS):
        goal = dict(zip(child.KEYS, child.START, strict=True))
        goal[f"{JOINT}.pos"] += STEP if turn % 2 else 0.0
        for name, robot in robots.items():
            robot.get_observation()
            asked[name].append(time.perf_counter())
            robot.send_action(goal)
        until = time.monotonic() + PAUSE
        while time.monotonic() < until:
            time.sleep(1 / HZ)
            for robot in robots.values():  # both are kept awake
                robot.get_observation()
                robot.send_action(goal)
    return asked


def heard(path: Path, asked: list[float]) -> Any:
    """Milliseconds from each request until a goal on the bus first differs from the one before it."""
    t, goal = read_wire(path).goals_in_units(JOINT)
    changed = t[1:][np.abs(np.diff(goal)) > 1e-6]
    at = np.searchsorted(changed, asked)
    found = [(changed[k] - want) * 1000 for k, want in zip(at, asked, strict=True) if k < len(changed)]
    return np.array([value for value in found if value < PAUSE * 1000])


def settle(robots: dict[str, Any]) -> None:
    """Both go to the start, the guard's gentle first second included."""
    goal = dict(zip(child.KEYS, child.START, strict=True))
    for _ in range(int(2 * HZ)):
        for robot in robots.values():
            robot.get_observation()
            robot.send_action(goal)
        time.sleep(1 / HZ)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    seconds: float = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="arm-latency-") as held:
        folder = Path(held)
        from hydra import compose, initialize_config_module

        with initialize_config_module("robo_reward.configs", version_base=None):
            workspace = dict(compose("robot/so101").robot.workspace)
        guarded = emulated_robot(
            INNER, START, views=(), black_box=folder / "box.jsonl", answer_seconds=2.0, workspace=workspace
        )
        twin = EmulatedProcess(START, CameraSettings(()), folder, "twin", keep=None)
        twin.start()
        try:
            guarded.connect()
            robots = {"guarded": guarded, "plain": plain_robot(twin, folder)}
            settle(robots)
            found = calls(robots, seconds, int(guarded.launched.said["pid"]))
            settle(robots)
            asked = steps(robots)
            guarded.twin.ask("save_wire", path=str(folder / "guarded.jsonl"))
            twin.ask("save_wire", path=str(folder / "plain.jsonl"))
            robots["plain"].disconnect()
        finally:
            release(guarded)
            twin.close()
        wire = {name: heard(folder / f"{name}.jsonl", asked[name]) for name in robots}
    rows = [{"chain": name, "call_ms": found["call_ms"][name], "wire_ms": percentiles(wire[name]), "n": len(wire[name])}
            for name in robots]  # fmt: skip
    added = {
        kind: {p: round(rows[0][kind][p] - rows[1][kind][p], 3) for p in ("p50", "p90", "p99")}
        for kind in ("call_ms", "wire_ms")
    }
    summary = {
        "added_ms": added,
        "call_ratio_p99": round(rows[0]["call_ms"]["p99"] / rows[1]["call_ms"]["p99"], 3),
        "control_period_ms": 20.0,
        **{key: value for key, value in found.items() if key != "call_ms"},
        "load": round(os.getloadavg()[0], 1),
    }
    write_result("arm_latency", "python benchmarks/arm_latency.py", rows, summary, (0,))
    print(rows, summary)


if __name__ == "__main__":
    main()
