"""The same learned progress under each transform: what it pays for, how soon it succeeds, how often it is hacked.

Run: python benchmarks/shaping.py [--tasks drawer-open,reach] [--variants potential,gain] [--seeds 5]. Five seeds on the
first two tasks, three on the others. All rows have reward_model=progress and start from the plain clone
(learner.priors=[clone]); ``base_reward`` is what the run itself named as its objective, and ``oracle`` is true where
the simulator's reward or success reached an update (in none of these). A run counts as hacked if its alarm fired or at
least half of its episodes were called a success and were none. Ends with a table; --figure FILE draws it.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cells import Row, run_cells, run_folder, train, write_result

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
TASKS = "drawer-open,reach,push,door-open"
FIRST_SEED = 300
HACKED_SHARE = 0.5
COLUMNS = (
    "runs",
    "failed",
    "median",
    "worst",
    "reached_90",
    "rollouts_to_90_median",
    "hacked_share",
    "return_vs_success",
)


def cell(task: str, variant: str, seed: int) -> Row:
    """One run from the plain clone."""
    overrides = [f"env.task={task}", f"seed={seed}", "reward_model=progress", f"transform={VARIANTS[variant]}"]
    overrides += ["learner.priors=[clone]", "learner.evaluate_every=15", "evaluate_every_episodes=20", "rollouts=150"]
    overrides += ["video=false", "report=false", "resume=true"]
    found = train(run_folder("shaping", f"{task}-{variant}-{seed}"), overrides)
    notes = found.get("notes") or {}
    curve = notes.get("evaluations") or []
    reached = [rollouts for rollouts, rate in curve if rate >= 0.9]
    share = found.get("false_success_share")
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
        "rollouts_to_90": reached[0] if reached else None,
        "evaluations": curve,
        "false_success_share": share,
        "alarm": found.get("alarm"),
        "hacked": None if share is None else bool(found.get("alarm")) or share >= HACKED_SHARE,
        "learned_return_vs_success": found.get("learned_return_vs_success"),
        "cpu_seconds": found.get("cpu_seconds"),
    }


def _of_learned(found: Row, notes: Row) -> float | None:
    """The learned policy's success rate, kept or not: the run names it apart only where its prior was kept."""
    rate: float | None = (
        found.get("success_rate") if notes.get("kept") == "learned" else notes.get("learned_success_rate")
    )
    return rate


def digest(rows: Sequence[Row]) -> Row:
    """The numbers of one line of the table; what no run defined is null."""
    rates = [row["learned_success_rate"] for row in rows if row["learned_success_rate"] is not None]
    reached = [row["rollouts_to_90"] for row in rows if row["rollouts_to_90"] is not None]
    hacked = [row["hacked"] for row in rows if row["hacked"] is not None]
    agree = [row["learned_return_vs_success"] for row in rows if row["learned_return_vs_success"] is not None]
    return {
        "runs": len(rows),
        "failed": sum(row["status"] != "done" for row in rows),
        "median": statistics.median(rates) if rates else None,
        "worst": min(rates, default=None),
        "reached_90": len(reached),
        "rollouts_to_90_median": statistics.median(reached) if reached else None,
        "hacked_share": sum(hacked) / len(hacked) if hacked else None,
        "return_vs_success": statistics.median(agree) if agree else None,
        "base_reward": sorted({row["base_reward"] for row in rows if row["base_reward"]}),
    }


def summarise(rows: Sequence[Row]) -> Row:
    """One entry for every variant over all tasks, and one for every variant and task."""
    summary: Row = {}
    for variant in dict.fromkeys(row["variant"] for row in rows):
        mine = [row for row in rows if row["variant"] == variant]
        summary[variant] = digest(mine)
        for task in dict.fromkeys(row["task"] for row in mine):
            summary[f"{variant} {task}"] = digest([row for row in mine if row["task"] == task])
    return summary


def print_table(summary: Row) -> None:
    """A line for every variant over all tasks."""
    print("| variant | " + " | ".join(COLUMNS) + " |\n|" + "---|" * (len(COLUMNS) + 1))
    for variant in (name for name in VARIANTS if name in summary):
        shown = [_shown(summary[variant][column]) for column in COLUMNS]
        print(f"| {variant} | " + " | ".join(shown) + " |")


def draw(rows: Sequence[Row], file: Path) -> None:
    """Success during training: a panel for every task, a line (median over seeds) for every variant."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tasks = list(dict.fromkeys(row["task"] for row in rows))
    figure, panels = plt.subplots(1, len(tasks), figsize=(4 * len(tasks), 3.2), sharey=True, squeeze=False)
    for task, panel in zip(tasks, panels[0], strict=True):
        for variant in VARIANTS:
            points: dict[int, list[float]] = {}
            for row in rows:
                if (row["task"], row["variant"]) == (task, variant):
                    for rollouts, rate in row["evaluations"]:
                        points.setdefault(rollouts, []).append(rate)
            if points:
                at = sorted(points)
                panel.plot(at, [statistics.median(points[k]) for k in at], label=variant)
        panel.set(title=task, xlabel="rollouts", ylim=(0, 1))
    panels[0][0].set_ylabel("success rate")
    panels[0][-1].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(file, dpi=120)


def _shown(value: Any) -> str:
    return "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Runs the grid."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", default=TASKS)
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--seeds", type=int, help="as many on every task; default: 5 on the first two, 3 on the others")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--figure", type=Path)
    chosen = parser.parse_args()
    tasks = chosen.tasks.split(",")
    several = {task: chosen.seeds or (5 if rank < 2 else 3) for rank, task in enumerate(tasks)}
    cells = {
        f"{task}-{variant}-{FIRST_SEED + k}": partial(cell, task, variant, FIRST_SEED + k)
        for k in range(max(several.values()))
        for task in tasks
        for variant in chosen.variants.split(",")
        if k < several[task]
    }
    rows = run_cells("shaping", cells, chosen.jobs)
    summary = summarise(rows)
    write_result("shaping", "python benchmarks/shaping.py", rows, summary, sorted({row["seed"] for row in rows}))
    print_table(summary)
    if chosen.figure is not None:
        draw(rows, chosen.figure)


if __name__ == "__main__":
    main()
