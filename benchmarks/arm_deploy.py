"""Policies from cameras and joints, trained in the twin, deployed through the whole emulated chain at 30 Hz.

python benchmarks/arm_deploy.py [--tasks reach,push] [--seeds 0,1,2] [--episodes 20]   (ten minutes of training a task
and seed on one core)

Trained by supervised learning on the scripted expert's demonstrations; a run that is there is deployed as it is.
Success is what the twin says at any time of an episode, as in evaluation in the simulator. ``seed``: of training, so
demonstrations, scenes and weights are others; of a task's policies the median and the worst are reported.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from cells import Row, run_cells, run_folder, train, write_result

from robo_reward.evaluation import wilson
from robo_reward.runs.summary import git_commit

LOOKING = ["learner=sft", "policy=nano_vla", "policy.head=regression", "recording.places=true",
           "policy.places_weight=1", "policy.crop={front: [0.15, 0.875, 0.2, 0.78]}", "policy.dtype=fastest",
           "learner.scenes=1500", "learner.batch=32", "learner.schedule=cosine", "learner.lr=1e-3", "video=false",
           "report=false"]  # fmt: skip
"""The crop keeps what the arm can reach of the fixed camera's picture, which shows the whole table."""
TRAINED = {
    "reach": ["env=so101", "env.task=reach", "env.control=goals", "demos=150", "learner.updates=2500", "episodes=25",
              "recording.pushes=0.06", *LOOKING],
    "push": ["env=so101", "env.task=push", "env.control=goals", "demos=150", "learner.updates=2000", "episodes=10",
             "recording.pushes=0.02", *LOOKING],
    "pick-and-place": ["env=so101", "env.task=pick-and-place", "env.control=goals", "demos=60", "learner.updates=1000",
                       "episodes=5", *LOOKING, "learner.scenes=600"],
}  # fmt: skip
BUSY = ["loop.joints_age=0.3", "loop.patience=3", "sight.age_periods=8", "sight.frozen_time=1",
        "robot.watches.bus_lost=5", "robot.answer_seconds=3"]  # fmt: skip
"""More patience than by default: twin, pictures, servos, server and policy share a machine that did other work."""
GENTLE = ["robot.limits.torque=0.5"]
"""Half of the torque at most: pressing with all of it is a FAULT after a second (1.5 A)."""
DEPLOYED: dict[str, tuple[str, list[str]]] = {
    "reach": ("reach", []),
    "push": ("push", []),
    "push-gently": ("push", GENTLE),
    "pick-and-place": ("pick-and-place", []),
}
MOST_STOPS = 8
MOST_SEEDS = 10
TOLD = ("sent", "late", "replaced", "skipped", "starved", "paused", "refused")


def named(name: str, seed: int) -> str:
    """A cell or folder of a training seed; the first has none in its name."""
    return name if seed == 0 else f"{name}_seed{seed}"


def recipe(task: str, seed: int) -> list[str]:
    """What a task's policy is trained with."""
    return [*TRAINED[task], *([] if seed == 0 else [f"seed={seed}"])]


def trained(task: str, seed: int) -> Path:
    """The folder of the task's train run, trained now if it is not there."""
    folder = run_folder("arm_deploy", named(f"train_{task}", seed))
    if not (folder / "policy" / "policy.yaml").exists():
        train(folder, recipe(task, seed))
    return folder


def deployed(name: str, seed: int, episodes: int) -> Row:
    """A task's policy on the emulated arm; the row. An episode that the guard stops counts as failed."""
    task, more = DEPLOYED[name]
    source, runs = trained(task, seed), list[Path]()
    lines: list[Row] = []
    before, began = children_cpu(), time.monotonic()
    while len(lines) < episodes and len(runs) < MOST_STOPS:
        out = run_folder("arm_deploy", named(f"deploy_{name}", seed) + (f"_{len(runs)}" if runs else ""))
        words = [f"run={source}", f"run_dir={out}", f"episodes={episodes - len(lines)}", f"seed={len(runs)}"]
        words += ["robot=emulated_so101", "watch=false", *BUSY, *more]
        command = [sys.executable, "-m", "robo_reward.cli", "deploy", *words]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        runs.append(out)
        lines += [json.loads(line) for line in (out / "episodes.jsonl").read_text().splitlines()]
        if done.returncode not in (0, 3):
            break
    wall = time.monotonic() - began
    good = [bool(line["success"]) and not line["stopped"] for line in lines]
    timing = [line["timing"] for line in lines]
    return {
        "name": name,
        "task": task,
        "seed": seed,
        "train": " ".join(["robo-reward train", *recipe(task, seed)]),
        "patience": BUSY,
        "more": more,
        "exit_code": done.returncode,
        "episodes": len(lines),
        "success_rate": sum(good) / len(good),
        "success_ci95": list(wilson(sum(good), len(good))),
        "succeeded_and_stopped": sum(bool(line["success"]) and line["stopped"] for line in lines),
        "stopped": sum(line["stopped"] for line in lines),
        "reasons": dict(Counter(line["reason"] for line in lines)),
        "counts": {key: sum(line.get(key, 0) for line in lines) for key in TOLD},
        "jitter_ms_p99": worst_of(timing, "jitter_ms_p99"),
        "policy_ms_p99": worst_of(timing, "policy_ms_p99"),
        "cpu_cores": round((children_cpu() - before) / wall, 2),
        "error": done.stderr.strip()[-200:] if done.returncode else None,
        "load": round(os.getloadavg()[0], 1),
        "git_commit": git_commit(),
        **learned(task, seed),
    }


def learned(task: str, seed: int) -> Row:
    """What the train run says of itself, where it is still there."""
    file = run_folder("arm_deploy", named(f"train_{task}", seed)) / "summary.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    return {f"twin_{key}": found.get(key) for key in ("status", "demos", "success_rate", "success_episodes")}


def worst_of(timing: list[dict[str, float | None]], key: str) -> dict[str, float] | None:
    """Median and largest over the episodes."""
    values = [float(row[key]) for row in timing if row.get(key) is not None]  # type: ignore[arg-type]
    return {"median": float(np.median(values)), "worst": max(values)} if values else None


def children_cpu() -> float:
    """CPU seconds of all that ended: the verb, its arm server, the twin and its cameras."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", default="reach")
    parser.add_argument("--seeds", default="0", help="of training")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--train", action="store_true", help="train only: what is deployed wants a quiet machine")
    asked = parser.parse_args()
    wanted = [(name, int(seed)) for seed in asked.seeds.split(",") for name in asked.tasks.split(",")]
    if asked.train:
        print([str(trained(DEPLOYED[name][0], seed)) for name, seed in wanted])
        return
    cells = {named(name, seed): partial(deployed, name, seed, asked.episodes) for name, seed in wanted}
    rows = run_cells("arm_deploy", cells, jobs=1)
    write()
    print(rows)


def write() -> None:
    """All cells as one result."""
    every: dict[str, Any] = {named(name, seed): dict for name in DEPLOYED for seed in range(MOST_SEEDS)}
    held = [{"name": row["task"], "seed": 0, **row} for row in run_cells("arm_deploy", every, jobs=0)]
    rows = [row if "twin_status" in row else {**row, **learned(row["task"], row["seed"])} for row in held]
    summary = {name: over_seeds([row for row in rows if row["name"] == name]) for name in DEPLOYED}
    seeds = sorted({int(row["seed"]) for row in rows})
    write_result("arm_deploy", "python benchmarks/arm_deploy.py", rows, summary, seeds)


def over_seeds(rows: list[Row]) -> Row:
    """Success on the chain and in the twin: each seed's, their median and the worst."""
    if not rows:
        return {"seeds": []}
    chain, twin = [row["success_rate"] for row in rows], [row["twin_success_rate"] for row in rows]
    return {
        "seeds": [row["seed"] for row in rows],
        "success_rate": chain,
        "success_ci95": [row["success_ci95"] for row in rows],
        "episodes": [row["episodes"] for row in rows],
        "median": float(np.median(chain)),
        "worst": min(chain),
        "twin_success_rate": twin,
    }


if __name__ == "__main__":
    main()
