"""The shaping study's table and figure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cells import Row

from robo_reward.evaluation import wilson

COLUMNS = (
    "runs",
    "failed",
    "mean",
    "mean_95",
    "against_potential",
    "against_potential_95",
    "median",
    "worst",
    "gain_over_clone",
    "over_training",
    "reached_90",
    "rollouts_to_90_median",
    "hacked_share",
    "alarms",
    "return_vs_success",
)

HACKED_SHARE = 0.5
"""Of the training episodes, called a success and none."""
REFERENCE = "potential"
"""The variant that the others are compared with, run by run."""
RESAMPLES = 10_000
FEWEST = 3
"""Seeds of a task that an interval needs."""


def digest(rows: Sequence[Row], reference: Sequence[Row], tasks: Sequence[str]) -> Row:
    """The numbers of one line of the table; what no run defined is null.

    ``mean``, ``median``, ``worst``: success of the learned policies; ``against_potential``: the mean of what it is
    above that of the ``reference`` with the same task and seed; ``over_training``: of the evaluations while training.
    Means weigh ``tasks`` alike, and are null where one lacks; ``..._95``: intervals from resampled seeds.
    """
    known = [row for row in rows if row["learned_success_rate"] is not None]
    rates = [row["learned_success_rate"] for row in known]
    gains = [row["learned_success_rate"] - row["cloned_success_rate"] for row in known]
    reached = [row["rollouts_to_90"] for row in rows if row["rollouts_to_90"] is not None]
    tricked = [found for row in rows if (found := hacked(row)) is not None]
    along: dict[str, list[float]] = {}
    for row in rows:
        if row["evaluations"]:
            along.setdefault(row["task"], []).append(statistics.fmean(rate for _, rate in row["evaluations"]))
    agree = [row["learned_return_vs_success"] for row in rows if row["learned_return_vs_success"] is not None]
    pairs = {(row["task"], row["seed"]): row for row in reference}
    success, better = (_of_all(tasks, _by_task(rows, less)) for less in (None, pairs))
    return {
        "runs": len(rows),
        "failed": sum(row["status"] != "done" for row in rows),
        "mean": mean_over_tasks(success),
        "mean_95": interval(success),
        "against_potential": mean_over_tasks(better),
        "against_potential_95": interval(better),
        "median": statistics.median(rates) if rates else None,
        "worst": min(rates, default=None),
        "gain_over_clone": statistics.median(gains) if gains else None,
        "over_training": mean_over_tasks(_of_all(tasks, along)),
        "reached_90": len(reached),
        "rollouts_to_90_median": statistics.median(reached) if reached else None,
        "hacked_share": sum(tricked) / len(tricked) if tricked else None,
        "alarms": sum(bool(row["alarm"]) for row in rows),
        "return_vs_success": statistics.median(agree) if agree else None,
        "base_reward": sorted({row["base_reward"] for row in rows if row["base_reward"]}),
    }


def mean_over_tasks(values: Mapping[str, Sequence[float]]) -> float | None:
    """Of the tasks' means over their seeds."""
    return statistics.fmean(statistics.fmean(of_task) for of_task in values.values()) if values else None


def interval(values: Mapping[str, Sequence[float]]) -> list[float] | None:
    """Within which ``mean_over_tasks`` falls in 95% of draws, with replacement, of each task's seeds.

    The stratified bootstrap of Agarwal et al. 2021, "Deep RL at the edge of the statistical precipice". None where a
    task has fewer than three seeds, which would say next to nothing of how it varies.
    """
    if not values or min(len(of_task) for of_task in values.values()) < FEWEST:
        return None
    rng = np.random.default_rng(0)
    drawn = [rng.choice(of_task, (RESAMPLES, len(of_task))).mean(axis=1) for of_task in values.values()]
    low, high = np.quantile(np.mean(drawn, axis=0), (0.025, 0.975))
    return [float(low), float(high)]


def _of_all(tasks: Sequence[str], values: dict[str, list[float]]) -> dict[str, list[float]]:
    """Nothing where a task lacks: a mean over the others would be one over easier tasks, or harder ones."""
    return values if set(values) == set(tasks) else {}


def _tasks(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["task"] for row in rows))


def _by_task(rows: Sequence[Row], less: Mapping[tuple[str, int], Row] | None = None) -> dict[str, list[float]]:
    """Success of the learned policies, or what it is above that of the run in ``less`` with its task and seed."""
    found: dict[str, list[float]] = {}
    for row in rows:
        other = {"learned_success_rate": 0.0} if less is None else less.get((row["task"], row["seed"]), {})
        rate, base = row["learned_success_rate"], other.get("learned_success_rate")
        if rate is not None and base is not None:
            found.setdefault(row["task"], []).append(rate - base)
    return found


def hacked(row: Row) -> bool | None:
    """Whether the reward was fooled, as the truth tells it; None where a run tells too little."""
    rate, share = row["learned_success_rate"], row["false_success_share"]
    if rate is None or share is None:
        return None
    return bool(share >= HACKED_SHARE or (row["alarm"] and rate <= row["cloned_success_rate"]))


def summarise(rows: Sequence[Row]) -> Row:
    """One entry for every variant over all tasks, and one for every variant and task."""
    summary: Row = {}
    reference, tasks = [row for row in rows if row["variant"] == REFERENCE], _tasks(rows)
    for variant in dict.fromkeys(row["variant"] for row in rows):
        mine = [row for row in rows if row["variant"] == variant]
        summary[variant] = digest(mine, reference, tasks)
        for task in dict.fromkeys(row["task"] for row in mine):
            summary[f"{variant} {task}"] = digest([row for row in mine if row["task"] == task], reference, [task])
    return summary


def print_table(summary: Row) -> None:
    """A line for every variant over all tasks, then one for every variant and task."""
    print("| variant | " + " | ".join(COLUMNS) + " |\n|" + "---|" * (len(COLUMNS) + 1))
    names = [name for name in summary if name != "rewards"]
    for name in sorted(names, key=lambda name: " " in name):
        print(f"| {name} | " + " | ".join(_shown(summary[name][column]) for column in COLUMNS) + " |")


def draw(rows: Sequence[Row], file: Path) -> None:
    """A line of panels for all tasks together (means over tasks, 95% over seeds), then one for each: success of the
    learned policies (95% Wilson), and success over the training.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tasks = _tasks(rows)
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    figure, panels = plt.subplots(1 + len(tasks), 2, figsize=(9, 3.4 * (1 + len(tasks))), squeeze=False)
    colours = {variant: f"C{k}" for k, variant in enumerate(variants)}
    _means(panels[0, 0], rows, variants, colours)
    _curves(panels[0, 1], rows, colours, len(tasks))
    panels[0, 0].set_title("all tasks: learned policies, 95% over seeds", fontsize=9)
    panels[0, 1].set_title("all tasks: means while training", fontsize=9)
    for task, (rates, curves) in zip(tasks, panels[1:], strict=True):
        mine = [row for row in rows if row["task"] == task]
        _rates(rates, mine, variants, colours)
        _curves(curves, mine, colours, 1)
        seeds = len({row["seed"] for row in mine})
        rates.set_title(f"{task}, seeds: {seeds} (dashed: the clones)", fontsize=9)
        curves.set_title("20 episodes at a time while training", fontsize=9)
    figure.tight_layout()
    figure.savefig(file, dpi=90)


def _rates(panel: Any, rows: Sequence[Row], variants: Sequence[str], colours: dict[str, str]) -> None:
    seeds = sorted({row["seed"] for row in rows})
    for row in rows:
        rate, episodes = row["learned_success_rate"], row["learned_episodes"]
        if rate is not None:
            y = variants.index(row["variant"]) + 0.7 * ((seeds.index(row["seed"]) + 0.5) / len(seeds) - 0.5)
            low, high = wilson(round(rate * episodes), episodes)
            panel.plot([low, high], [y, y], color=colours[row["variant"]], linewidth=1)
            filled = "none" if hacked(row) else colours[row["variant"]]
            panel.plot(rate, y, "o", color=colours[row["variant"]], markerfacecolor=filled, markersize=4)
    _label(panel, variants, colours)
    for seed in seeds:
        clones = [r["cloned_success_rate"] for r in rows if r["seed"] == seed and r["cloned_success_rate"] is not None]
        panel.axvline(statistics.median(clones), linestyle="--", linewidth=0.8, color="grey")


def _means(panel: Any, rows: Sequence[Row], variants: Sequence[str], colours: dict[str, str]) -> None:
    for y, variant in enumerate(variants):
        values = _of_all(_tasks(rows), _by_task([row for row in rows if row["variant"] == variant]))
        if (ends := interval(values)) is not None:
            panel.plot(ends, [y, y], color=colours[variant], linewidth=2)
        if values:
            panel.plot(mean_over_tasks(values), y, "o", color=colours[variant])
    _label(panel, variants, colours)


def _label(panel: Any, variants: Sequence[str], colours: dict[str, str]) -> None:
    panel.set(xlim=(-0.02, 1.02), xlabel="success rate", ylim=(len(variants) - 0.5, -0.5))
    panel.set_yticks(range(len(variants)), variants)
    for tick, variant in zip(panel.get_yticklabels(), variants, strict=True):
        tick.set_color(colours[variant])


def _curves(panel: Any, rows: Sequence[Row], colours: dict[str, str], tasks: int) -> None:
    for variant, colour in colours.items():
        points: dict[int, dict[str, list[float]]] = {}
        for row in rows:
            for rollouts, rate in row["evaluations"] if row["variant"] == variant else []:
                points.setdefault(rollouts, {}).setdefault(row["task"], []).append(rate)
        if at := sorted(rollouts for rollouts, seen in points.items() if len(seen) == tasks):
            panel.plot(at, [mean_over_tasks(points[k]) for k in at], "o-", color=colour, markersize=3)
    panel.set(xlabel="rollouts", ylabel="success rate", ylim=(-0.02, 1.02))


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " to ".join(_shown(each) for each in value)
    return "-" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
