"""The same learned progress under each transform: what it pays for, how soon it succeeds, how often it is hacked.

Run: python benchmarks/shaping.py [--tasks drawer-open,reach] [--variants potential,gain] [--seeds 300,301]. Five seeds
on the first two tasks, three on the others; a cell that is there is not run again, and the result holds all that are
there. One progress reward is fitted for each task and seed (``robo-reward fit``, audited there) and given to the runs
of all variants, whose success detector goes on being refitted against the policy's episodes as in any other run. All
start from the plain clone (learner.priors=[clone]). ``base_reward`` is what the run itself named as its objective, and
``oracle`` is true where the simulator's reward or success reached an update (in none of these). A run counts as hacked
if at least half of its episodes were called a success and were none, or if its alarm fired and its learned policy
succeeds no more often than the clone that it began as. Ends with a table; --figure FILE draws it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from cells import Row, run_cells, run_folder, train, write_result
from shaping_results import draw, print_table, summarise

VARIANTS = {
    "potential": "potential",
    "gain": "gain",
    "level": "level",
    "accumulated": "accumulated",
    "min-form": "min_form",
    "gated": "gated",
    "par": "par",
    "ensemble-conservative": "conservative",
}
"""Name in the study -> the ``transform`` that it trains with."""
TASKS = ("drawer-open", "reach", "push", "door-open")
FIRST_SEED = 300
CLAIM = "shaping"


def fitted(task: str, seed: int) -> Row:
    """The reward of a task and seed: on the demonstration and as many negatives as a run steps for itself."""
    folder = run_folder(CLAIM, f"reward-{task}-{seed}")
    asked = ["env=metaworld", f"env.task={task}", f"seed={seed}", "reward_model=progress", "demos=1", "held_out=0.25"]
    asked += ["reward_model.views=[corner2,gripperPOV]", "negatives.random=8", "negatives.replay=12"]
    found = train(folder, asked, "fit")
    kept = ("status", "error", "reward_audit", "cpu_seconds", "notes")
    return {"task": task, "seed": seed} | {key: found.get(key) for key in kept}


def cell(task: str, variant: str, seed: int) -> Row:
    """One run from the plain clone."""
    reward = run_folder(CLAIM, f"reward-{task}-{seed}") / "reward_model"
    overrides = [f"env.task={task}", f"seed={seed}", "reward_model=progress", f"reward_model.path={reward}"]
    overrides += [f"transform={VARIANTS[variant]}", "learner.priors=[clone]", "rollouts=150"]
    overrides += ["learner.evaluate_every=30", "evaluate_every_episodes=20", "episodes=20"]
    overrides += ["video=false", "report=false", "resume=true"]
    found = train(run_folder(CLAIM, f"{task}-{variant}-{seed}"), overrides)
    notes = found.get("notes") or {}
    curve = notes.get("evaluations") or []
    reached = [rollouts for rollouts, rate in curve if rate >= 0.9]
    return {
        "task": task,
        "variant": variant,
        "transform": VARIANTS[variant],
        "base_reward": found.get("base_reward"),
        "oracle": bool(found.get("used_env_reward") or found.get("used_env_success")),
        "seed": seed,
        "status": found.get("status"),
        "error": found.get("error"),
        "rollouts": found.get("rollouts"),
        "cloned_success_rate": found.get("cloned_success_rate"),
        "success_rate": found.get("success_rate"),
        "kept": notes.get("kept"),
        "learned_success_rate": _of_learned(found, notes),
        "learned_episodes": (found.get("success_episodes") or 0) // (1 if notes.get("kept") == "learned" else 2),
        "rollouts_to_90": reached[0] if reached else None,
        "evaluations": curve,
        "false_success_share": found.get("false_success_share"),
        "alarm": found.get("alarm"),
        "learned_return_vs_success": found.get("learned_return_vs_success"),
        "cpu_seconds": found.get("cpu_seconds"),
        "wall_seconds": found.get("wall_seconds"),
    }


def _of_learned(found: Row, notes: Row) -> float | None:
    """The learned policy's success rate, kept or not: the run names it apart only where its prior was kept."""
    rate: float | None = (
        found.get("success_rate") if notes.get("kept") == "learned" else notes.get("learned_success_rate")
    )
    return rate


def several(task: str, seeds: Sequence[int] | None = None) -> list[int]:
    """The seeds of a task: those chosen, else five for the first two tasks and three for the others."""
    return list(seeds or range(FIRST_SEED, FIRST_SEED + (5 if task in TASKS[:2] else 3)))


def rewards(tasks: Sequence[str], seeds: Sequence[int] | None = None) -> dict[str, Callable[[], Row]]:
    """The fits by name."""
    return {f"reward-{task}-{seed}": partial(fitted, task, seed) for task in tasks for seed in several(task, seeds)}


def grid(
    tasks: Sequence[str], variants: Sequence[str], seeds: Sequence[int] | None = None
) -> dict[str, Callable[[], Row]]:
    """The cells by name, seed by seed and task by task."""
    turns = sorted({(seed, tasks.index(task), task) for task in tasks for seed in several(task, seeds)})
    return {
        f"{task}-{variant}-{seed}": partial(cell, task, variant, seed)
        for seed, _, task in turns
        for variant in variants
    }


def main() -> None:
    """Runs the chosen cells and collects all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--seeds", help="for every task; default: 300 to 304 for the first two, to 302 for the others")
    parser.add_argument("--jobs", type=int, default=2, help="0 runs nothing and collects what is there")
    parser.add_argument("--figure", type=Path)
    chosen = parser.parse_args()
    seeds = [int(word) for word in chosen.seeds.split(",")] if chosen.seeds else None
    tasks = chosen.tasks.split(",")
    if chosen.jobs:
        run_cells(CLAIM, rewards(tasks, seeds), chosen.jobs)
        run_cells(CLAIM, grid(tasks, chosen.variants.split(","), seeds), chosen.jobs)
    rows = run_cells(CLAIM, grid(TASKS, tuple(VARIANTS)), 0)
    summary = summarise(rows) | {"rewards": run_cells(CLAIM, rewards(TASKS), 0)}
    command = " ".join(["python benchmarks/shaping.py", *sys.argv[1:]])
    write_result(CLAIM, command, rows, summary, sorted({row["seed"] for row in rows}))
    print_table(summary)
    if chosen.figure is not None:
        draw(rows, chosen.figure)


if __name__ == "__main__":
    main()
