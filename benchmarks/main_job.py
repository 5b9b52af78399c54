"""One demonstration, two views, at most 150 rollouts, oracle-free and strict: success on seven Meta-World tasks.

Run: python benchmarks/main_job.py [--tasks drawer-open,push] [--seeds 100,101] [--jobs 2]. Seeds from 100 on were not
used while the method was made. Controls measured on the same episodes of the same run: the plain clone, the corrected
clone, and the prior alone (``warp``: the demonstration replayed in the new scene). Other tasks go into a file of their
own: --tasks assembly,hammer --seeds 600 --result other_tasks.
"""

from __future__ import annotations

import argparse
import statistics
from functools import partial
from typing import Any

from cells import Row, run_cells, run_folder, train, write_result

TASKS = ("drawer-open", "door-open", "window-open", "button-press", "drawer-close", "reach", "push")
SEEDS = (100, 101, 102, 103, 104, 105)


def cell(group: str, task: str, seed: int) -> Row:
    """One run of the default job on ``task``."""
    overrides = [f"env.task={task}", f"seed={seed}", "demos=1", "rollouts=150", "video=false", "resume=true"]
    found = train(run_folder(group, f"{task}-{seed}"), overrides)
    notes = found.get("notes") or {}
    kept = (
        "status", "demos", "rollouts", "cloned_success_rate", "success_rate", "success_by_seed", "success_ci95",
        "success_episodes", "used_env_reward", "used_env_success", "false_success_share", "reward_audit",
        "learned_return_vs_success", "alarm", "wall_seconds", "cpu_seconds", "render_seconds", "pricing_seconds",
        "frames_rendered", "env_steps", "git_commit", "error",
    )  # fmt: skip
    row: Row = {"task": task, "seed": seed} | {key: found.get(key) for key in kept}
    controls = ("prior", "kept", "corrected_success_rate", "prior_success_rate", "learned_success_rate")
    return row | {key: notes.get(key) for key in controls}


def summarise(rows: list[Row]) -> Row:
    """Median and worst seed of each task."""
    summary: dict[str, Any] = {}
    for task in dict.fromkeys(row["task"] for row in rows):
        mine = [row for row in rows if row["task"] == task]
        rates = [row["success_rate"] or 0.0 for row in mine]
        summary[task] = {
            "seeds": len(mine),
            "median": statistics.median(rates),
            "worst": min(rates),
            "cloned_median": statistics.median(row["cloned_success_rate"] or 0.0 for row in mine),
            "corrected_median": statistics.median(row["corrected_success_rate"] or 0.0 for row in mine),
            "false_success_share_worst": max(row["false_success_share"] or 0.0 for row in mine),
            "wall_seconds_median": statistics.median(row["wall_seconds"] or 0.0 for row in mine),
        }
    return summary


def main() -> None:
    """Runs the grid."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--result", default="main_job", help="name of the results file")
    chosen = parser.parse_args()
    tasks, seeds = chosen.tasks.split(","), [int(s) for s in chosen.seeds.split(",")]
    cells = {f"{task}-{seed}": partial(cell, chosen.result, task, seed) for seed in seeds for task in tasks}
    rows = run_cells(chosen.result, cells, chosen.jobs)
    default = parser.parse_args([])
    asked = [f"--{key} {value}" for key, value in vars(chosen).items() if value != vars(default)[key] and key != "jobs"]
    write_result(chosen.result, " ".join(["python benchmarks/main_job.py", *asked]), rows, summarise(rows), seeds)


if __name__ == "__main__":
    main()
