"""What pictures and pricing cost, and whether looking at every third decision loses anything against every one.

Run: python benchmarks/cost.py, after benchmarks/main_job.py, whose rows it reads; it adds drawer-open runs that price
every decision. Processor seconds per 150 rollouts of two 64-pixel views, frames per decision, share of the run's wall
time.
"""

from __future__ import annotations

import argparse
import json
import statistics
from functools import partial

from cells import RESULTS, Row, run_cells, run_folder, train, write_result


def costs(row: Row, stride: int) -> Row:
    """The cost of one run's row."""
    spent = row["render_seconds"] + row["pricing_seconds"]
    return {
        "task": row["task"],
        "seed": row["seed"],
        "stride": stride,
        "render_seconds": row["render_seconds"],
        "pricing_seconds": row["pricing_seconds"],
        "render_and_pricing_per_150_rollouts": 150 * spent / row["rollouts"],
        "frames_per_decision": row["frames_rendered"] / row["env_steps"],
        "share_of_wall": spent / row["wall_seconds"],
        "success_rate": row["success_rate"],
        "learned_success_rate": row["learned_success_rate"],
    }


def every_decision(seed: int) -> Row:
    """Drawer-open with the reward and the judge looking at every decision."""
    overrides = ["env.task=drawer-open", f"seed={seed}", "reward_model.stride=1", "judge.stride=1", "rollouts=150"]
    found = train(run_folder("cost", f"stride-1-{seed}"), [*overrides, "video=false", "report=false", "resume=true"])
    return (
        found
        | {"task": "drawer-open", "seed": seed}
        | {"learned_success_rate": (found.get("notes") or {}).get("learned_success_rate")}
    )


def main() -> None:
    """Reads and runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="100,101,102")
    parser.add_argument("--jobs", type=int, default=2)
    chosen = parser.parse_args()
    seeds = [int(s) for s in chosen.seeds.split(",")]
    rows = [
        costs(row, 3) for row in json.loads((RESULTS / "main_job.json").read_text())["rows"] if row["status"] == "done"
    ]
    dense = run_cells("cost", {f"stride-1-{s}": partial(every_decision, s) for s in seeds}, chosen.jobs)
    rows += [costs(row, 1) for row in dense if row.get("status") == "done"]
    key = "render_and_pricing_per_150_rollouts"
    summary = {f"{key}_median_stride_{k}": statistics.median(r[key] for r in rows if r["stride"] == k) for k in (3, 1)}
    summary |= {
        f"drawer_success_median_stride_{k}": statistics.median(
            r["success_rate"] for r in rows if r["stride"] == k and r["task"] == "drawer-open"
        )
        for k in (3, 1)
    }
    write_result("cost", "python benchmarks/cost.py", rows, summary, seeds)
    print(summary)


if __name__ == "__main__":
    main()
