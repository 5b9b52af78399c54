"""The same learner from the same cloned start with the learned, the simulator's sparse and its hand-written reward.

Run: python benchmarks/reward_baselines.py [--tasks drawer-open] [--seeds 200,201,202]. The warped replay is left out
here (learner.priors=[clone]): what reinforcement learning itself adds to a plain clone is measured. Rows with
``oracle`` true used the simulator's reward or success and must not be compared with the others without saying so.
"""

from __future__ import annotations

import argparse
import statistics
from functools import partial

from cells import Row, run_cells, run_folder, train, write_result

REWARDS = {
    "learned": [],
    "learned_shaped": ["reward_model=progress", "transform=potential"],
    "env_sparse": ["reward_model=env_sparse", "transform=none"],
    "env_dense": ["reward_model=env_dense", "transform=none"],
}


def cell(task: str, reward: str, seed: int) -> Row:
    """One run from the plain clone."""
    overrides = [f"env.task={task}", f"seed={seed}", "learner.priors=[clone]", "learner.evaluate_every=15"]
    overrides += ["evaluate_every_episodes=20", "rollouts=150", "video=false", "report=false", "resume=true"]
    found = train(run_folder("reward_baselines", f"{task}-{reward}-{seed}"), [*overrides, *REWARDS[reward]])
    notes = found.get("notes") or {}
    curve = notes.get("evaluations") or []
    reached = [rollouts for rollouts, rate in curve if rate >= 0.9]
    return {
        "task": task,
        "reward": reward,
        "oracle": bool(found.get("used_env_reward") or found.get("used_env_success")),
        "seed": seed,
        "status": found.get("status"),
        "rollouts": found.get("rollouts"),
        "cloned_success_rate": found.get("cloned_success_rate"),
        "success_rate": found.get("success_rate"),
        "learned_success_rate": notes.get("learned_success_rate"),
        "kept": notes.get("kept"),
        "judged_learned": notes.get("judged_learned"),
        "rollouts_to_90": reached[0] if reached else None,
        "evaluations": curve,
        "false_success_share": found.get("false_success_share"),
        "learned_return_vs_success": found.get("learned_return_vs_success"),
        "cpu_seconds": found.get("cpu_seconds"),
    }


def summarise(rows: list[Row]) -> Row:
    """Median final success of each task and reward, and how many seeds reached 90%."""
    summary: Row = {}
    for task, reward in dict.fromkeys((row["task"], row["reward"]) for row in rows):
        mine = [row for row in rows if (row["task"], row["reward"]) == (task, reward)]
        rates = [row["success_rate"] or 0.0 for row in mine]
        reached = [row["rollouts_to_90"] for row in mine if row["rollouts_to_90"] is not None]
        summary[f"{task} {reward}"] = {
            "seeds": len(mine),
            "median": statistics.median(rates),
            "worst": min(rates),
            "cloned_median": statistics.median(row["cloned_success_rate"] or 0.0 for row in mine),
            "seeds_that_reached_90": len(reached),
            "rollouts_to_90_median": statistics.median(reached) if reached else None,
        }
    return summary


def main() -> None:
    """Runs the grid."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", default="drawer-open,reach,push")
    parser.add_argument("--rewards", default=",".join(REWARDS))
    parser.add_argument("--seeds", default="200,201,202")
    parser.add_argument("--jobs", type=int, default=2)
    chosen = parser.parse_args()
    seeds = [int(s) for s in chosen.seeds.split(",")]
    cells = {
        f"{task}-{reward}-{seed}": partial(cell, task, reward, seed)
        for seed in seeds
        for task in chosen.tasks.split(",")
        for reward in chosen.rewards.split(",")
    }
    rows = run_cells("reward_baselines", cells, chosen.jobs)
    command = f"python benchmarks/reward_baselines.py --seeds {chosen.seeds}"
    write_result("reward_baselines", command, rows, summarise(rows), seeds)


if __name__ == "__main__":
    main()
