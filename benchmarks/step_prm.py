"""One multi-task step_prm on ten Meta-World tasks, five demonstrations each: perspectives, views, one-shot adaptation.

Run: python benchmarks/step_prm.py [--seeds 100,101,102] [--cells multi,single,progress] [--held-out 50], and with
``--cells oneshot --held-out 20`` for what one demonstration of a new task does, which is a result file of its own,
``step_prm_oneshot.json``. ``--oneshot-tasks``: which tasks those cells adapt to; all ten unless given. Finished cells
are skipped, so the same command goes on where it stopped; ``--jobs 0`` only collects what is there.

``multi``: trained once on two views; ``fused``, ``incremental``, ``forward`` and ``backward`` are read from the same
weights. ``single``: the front view alone. ``progress``: the progress reward on the same episodes. ``oneshot-TASK``:
trained on the nine other tasks; the tenth before adaptation (its one demonstration gives the goal anchor and nothing is
trained), after adaptation with that demonstration alone, and with the negatives that fit steps as well.

Held-out episodes: ``mt10_episodes.py``. The simulator's verdicts are used for measurement only.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from cells import Row, run_cells, run_folder, write_result
from mt10_episodes import TASKS, VIEWS, episodes
from reward_quality import measure

from robo_reward.reward_models.progress import ProgressModel
from robo_reward.reward_models.progress_fit import FitSettings
from robo_reward.reward_models.step_prm.fusion import PERSPECTIVES, Fusion
from robo_reward.reward_models.step_prm.hop_training import HopFit
from robo_reward.reward_models.step_prm.step_prm import StepPrm
from robo_reward.trace import Trace

STEPS, ONESHOT_STEPS, PROGRESS_STEPS = 1500, 800, 2500
SEEDS = (100, 101, 102)
AVERAGED = ("voc", "voc_minus", "auroc", "auroc_success_probability", "failure_progress", "success_progress")
NEAR = ("near_miss_auroc", "near_miss_progress", "stopped_mae")

Data = Mapping[str, dict[str, Any]]


def read(seed: int, held_out: int) -> Data:
    """Episodes of all ten tasks."""
    return {task: episodes(task, seed, held_out) for task in TASKS}


def together(data: Data, kind: str, without: str | None = None) -> list[Trace]:
    """All tasks' ``demos`` or ``negatives``."""
    return [trace for task, found in data.items() if task != without for trace in found[kind]]


def judged(model: Any, name: str, task: str, seed: int, sets: dict[str, Any], fit_seconds: float) -> Row:
    """One model on one task; ``failure_progress`` is the mean over the classes of failures."""
    row = measure(model, sets)
    row = {key: None if isinstance(value, float) and np.isnan(value) else value for key, value in row.items()}
    classes = row["failure_progress"]
    known = [value for value in classes.values() if value is not None]
    named = {"task": task, "seed": seed, "model": name, "fit_cpu_seconds": round(fit_seconds, 1)}
    return named | row | {"failure_progress": float(np.mean(known)), "failure_progress_by_class": classes}


def timed(fit: Any) -> float:
    """Processor seconds of a call."""
    start = time.process_time()
    fit()
    return time.process_time() - start


def multi(seed: int, held_out: int, views: Sequence[str], names: Mapping[str, str]) -> Row:
    """One step_prm for all tasks, read from the given perspectives: perspective -> name of the row."""
    data = read(seed, held_out)
    model = StepPrm(views, fit=HopFit(steps=STEPS))
    seconds = timed(lambda: model.fit(together(data, "demos"), together(data, "negatives"), seed))
    model.save(run_folder("step_prm", f"{'-'.join(views)}-{seed}"))
    rows = []
    for perspective in PERSPECTIVES:
        if perspective in names:
            model.fusion = Fusion(perspective)
            rows += [judged(model, names[perspective], t, seed, found["sets"], seconds) for t, found in data.items()]
    return {"rows": rows}


def progress(seed: int, held_out: int) -> Row:
    """The progress reward for all tasks."""
    data = read(seed, held_out)
    model = ProgressModel(VIEWS, head="both", fit=FitSettings(steps=PROGRESS_STEPS))
    seconds = timed(lambda: model.fit(together(data, "demos"), together(data, "negatives"), seed))
    return {"rows": [judged(model, "progress", task, seed, found["sets"], seconds) for task, found in data.items()]}


def oneshot(seed: int, held_out: int, task: str) -> Row:
    """Nine tasks, then one demonstration of the tenth."""
    data = read(seed, held_out)
    folder, new = run_folder("step_prm", f"without-{task}-{seed}"), data[task]
    model = StepPrm(VIEWS, fit=HopFit(steps=ONESHOT_STEPS))
    demos = together(data, "demos", without=task)
    seconds = timed(lambda: model.fit(demos, together(data, "negatives", without=task), seed))
    model.save(folder)
    model.goals.remember(new["demos"][:1], VIEWS)
    rows = [judged(model, "before", task, seed, new["sets"], seconds)]
    for name, negatives in (("one demonstration", []), ("one demonstration, negatives", new["negatives"])):
        model = StepPrm(VIEWS, fit=HopFit(steps=ONESHOT_STEPS))
        model.load(folder)
        spent = timed(lambda: model.adapt(new["demos"][:1], negatives, seed, rehearse=demos))  # noqa: B023
        rows.append(judged(model, name, task, seed, new["sets"], spent))
    return {"rows": rows}


def summarise(rows: Sequence[Row]) -> Row:
    """Means over tasks and seeds, and whether the targets are met."""
    summary: Row = {}
    for name in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == name]
        means = {}
        for key in (*AVERAGED, *NEAR):
            known = [row[key] for row in mine if row[key] is not None]
            means[key] = round(float(np.mean(known)), 4) if known else None
        met = sum(r["voc"] >= 0.96 and (r["auroc"] or 0) >= 0.98 and r["failure_progress"] <= 0.25 for r in mine)
        summary[name] = means | {"rows": len(mine), "rows_that_meet_all_three_targets": met}
    return summary


def grid(seeds: Sequence[int], held_out: int, wanted: Sequence[str], new: Sequence[str] = TASKS) -> dict[str, Any]:
    """Every cell by name."""
    cells: dict[str, Any] = {}
    for seed in seeds:
        if "multi" in wanted:
            cells[f"multi-{seed}"] = partial(multi, seed, held_out, VIEWS, {p: p for p in PERSPECTIVES})
        if "progress" in wanted:
            cells[f"progress-{seed}"] = partial(progress, seed, held_out)
        if "single" in wanted:
            cells[f"single-{seed}"] = partial(multi, seed, held_out, VIEWS[:1], {"fused": "fused, single view"})
        if "oneshot" in wanted:
            cells |= {f"oneshot-{task}-{seed}": partial(oneshot, seed, held_out, task) for task in new}
    return cells


def main() -> None:
    """Runs the grid."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    parser.add_argument("--cells", default="multi,progress,single")
    parser.add_argument("--oneshot-tasks", default=",".join(TASKS))
    parser.add_argument("--held-out", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    seeds, wanted = [int(s) for s in chosen.seeds.split(",")], chosen.cells.split(",")
    if "oneshot" in wanted and wanted != ["oneshot"]:
        parser.error(f"--cells {chosen.cells}: oneshot has a result file of its own, ask for it alone")
    cells = grid(seeds, chosen.held_out, wanted, chosen.oneshot_tasks.split(","))
    found = run_cells("step_prm", cells, chosen.jobs)
    rows = [row for cell in found for row in cell["rows"]]
    command = (
        f"python benchmarks/step_prm.py --seeds {chosen.seeds} --cells {chosen.cells} --held-out {chosen.held_out}"
    )
    write_result("step_prm_oneshot" if wanted == ["oneshot"] else "step_prm", command, rows, summarise(rows), seeds)


if __name__ == "__main__":
    main()
