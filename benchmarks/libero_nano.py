"""nano_vla, supervised, on LIBERO: success on shipped and on moved states, each beside its blind twin's.

Run: python benchmarks/libero_nano.py [--suites libero_object] [--tasks 0,3,6|all] [--demos 10] [--seeds 0]
[--updates 3000] [--starts 10] [--shift 0.0] [--jobs 1]. Every cell is one command of robo-reward in its own process:
``collect`` (scripted expert from seeded resets, arm's joints + N(0, 0.02 rad), target displaced by up to ``--shift``
metres, pushes), ``train`` (the last weights count; the evaluation in it is on shipped states), ``evaluate`` on moved
states. ``blind`` is the same policy trained on the same data without pictures. ``--starts``: evaluation episodes a
task. Numbers are of the pictures that the assets draw: ``stand_in_visuals`` says whether these are the published ones.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

from cells import RESULTS, Row, run_cells, run_folder, train, write_result

from robo_reward.envs.libero.catalogue import find_tasks

CLAIM = "libero_nano"
EYES = ("seeing", "blind")
MEASURED = 1
"""The evaluation seed: fixtures, displacements and the arm's joints follow from it."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One policy: what it learns from and how."""

    suite: str
    tasks: str
    demos: int
    shift: float
    updates: int
    seed: int
    eyes: str

    @property
    def data(self) -> str:
        """Name of the demonstrations."""
        return f"{self.suite}-{self.tasks.replace(',', '+')}-{self.demos}demos-shift{self.shift:g}"

    @property
    def name(self) -> str:
        """Name of the cell."""
        return f"{self.data}-{self.updates}updates-{self.eyes}-seed{self.seed}"

    @property
    def env(self) -> list[str]:
        """The world's settings."""
        tasks = "all" if self.tasks == "all" else f"[{self.tasks}]"
        return [f"env.suite={self.suite}", f"env.task={tasks}"]


def robo_reward(verb: str, overrides: Sequence[str]) -> tuple[float, str]:
    """Runs a verb in its own process; how many seconds it took, and the last line it said."""
    command = [sys.executable, "-m", "robo_reward.cli", verb, *overrides]
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - begun, done.stdout.strip().splitlines()[-1]


def data_folder(cell: Cell) -> Path:
    """Where the demonstrations of a cell lie."""
    return run_folder(CLAIM, f"data-{cell.data}")


def collected(cell: Cell) -> Row:
    """Collects the demonstrations of a cell."""
    folder = data_folder(cell)
    seconds, said = robo_reward(
        "collect",
        [
            "env=libero",
            *cell.env,
            "env.meshes=light",
            f"env.target_shift={cell.shift}",
            f"demos={cell.demos}",
            "recording.pushes=0.08",
            "recording.every=4",
            "recording.places=true",
            f"data_dir={folder}",
        ],
    )
    return {"data": cell.data, "minutes": round(seconds / 60, 1), "said": said.split(": ", 1)[1]}


def learned(cell: Cell, starts: int) -> Row:
    """Trains a policy, which is evaluated on shipped states, and evaluates it on moved ones; what is there is kept."""
    run, there = run_folder(CLAIM, cell.name), run_folder(CLAIM, f"{cell.name}-moved")
    if finished(run) is None:
        summary = train(run, settings(cell, starts))
        if summary["status"] != "done":
            raise SystemExit(f"{cell.name} failed: {summary.get('error')}")
    if finished(there) is None:
        robo_reward("evaluate", [f"run={run}", f"run_dir={there}", "env.starts=moved", "video=false"])
    shipped, moved = finished(run), finished(there)
    assert shipped is not None
    assert moved is not None
    return {
        **{key: getattr(cell, key) for key in ("suite", "tasks", "demos", "shift", "updates", "seed", "eyes")},
        "samples": shipped["notes"]["samples"],
        "parameters": shipped["notes"]["parameters"],
        "minutes_training": round(training_seconds(run) / 60, 1),
        "cpu_minutes_with_evaluation_on_shipped": round(shipped["cpu_seconds"] / 60, 1),
        "loss": losses(run),
        "stand_in_visuals": shipped["stand_in_visuals"],
        "shipped": success(shipped),
        "moved": success(moved),
    }


def settings(cell: Cell, starts: int) -> list[str]:
    """What ``robo-reward train`` is told."""
    tasks = len(find_tasks(cell.suite, "all" if cell.tasks == "all" else cell.tasks.split(",")))
    return [
        "experiment=libero_sft",
        *cell.env,
        f"data={data_folder(cell)}",
        f"demos={cell.demos}",
        f"seed={cell.seed}",
        f"learner.updates={cell.updates}",
        f"episodes={starts * tasks}",
        f"evaluation_seeds=[{MEASURED}]",
        "video=false",
        "report=false",
        *(["policy.blind=true", "policy.crop=null", "policy.shift=null"] if cell.eyes == "blind" else []),
    ]


def finished(run: Path) -> Row | None:
    """The summary of a run that is there and done."""
    file = run / "summary.json"
    summary: Row = json.loads(file.read_text()) if file.exists() else {}
    return summary if summary.get("status") == "done" else None


def success(found: Row) -> Row:
    """What a summary says of success."""
    return {
        "n": found["success_episodes"],
        "success_rate": found["success_rate"],
        "ci95": found["success_ci95"],
        "by_task": list(found["notes"]["success_by_task"].values()),
    }


def metrics(run: Path) -> list[Row]:
    """The run's logged rows of training."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if "sft/loss" in row]


def losses(run: Path) -> list[float]:
    """The training curve: about ten values of the loss."""
    found = [round(float(row["sft/loss"]), 4) for row in metrics(run)]
    return found[:: max(1, len(found) // 10)]


def training_seconds(run: Path) -> float:
    """How long the updates took."""
    rates = [float(row["timing/samples_per_second"]) for row in metrics(run)]
    samples = 64 * json.loads((run / "summary.json").read_text())["updates"] / len(rates)
    return float(sum(samples / rate for rate in rates))


def summary(rows: Sequence[Row]) -> Row:
    """Policy without its seed and eyes -> success on both kinds of starts, mean over seeds, and lead over the twin."""
    table: Row = {}
    for row in rows:
        key = (
            f"{row['suite']} tasks {row['tasks']}, {row['demos']} demos, shift {row['shift']}, {row['updates']} updates"
        )
        for starts in ("shipped", "moved"):
            table.setdefault(key, {}).setdefault(f"{starts} {row['eyes']}", []).append(row[starts]["success_rate"])
    means = {key: {name: sum(v) / len(v) for name, v in found.items()} for key, found in table.items()}
    for key, found in means.items():
        for starts in ("shipped", "moved"):
            if {f"{starts} {eyes}" for eyes in EYES} <= set(found):
                found[f"{starts} lead"] = found[f"{starts} seeing"] - found[f"{starts} blind"]
        found["seeds"] = len(table[key]["shipped seeing"]) if "shipped seeing" in table[key] else 0
    return means


def known(folder: Path) -> dict[str, Callable[[], Row]]:
    """Every policy's cell that has a file."""
    names = [path.stem for path in sorted(folder.glob("*.json")) if not path.stem.startswith("data-")]
    return dict.fromkeys(names, dict)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suites", default="libero_object")
    parser.add_argument("--tasks", default="all")
    parser.add_argument("--demos", default="10")
    parser.add_argument("--shift", type=float, default=0.0)
    parser.add_argument("--updates", type=int, default=3000)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--eyes", default=",".join(EYES))
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args(arguments)
    grid = product(asked.suites.split(","), asked.demos.split(","), asked.seeds.split(","), asked.eyes.split(","))
    cells = [
        Cell(suite, asked.tasks, int(demos), asked.shift, asked.updates, int(seed), eyes)
        for suite, demos, seed, eyes in grid
    ]
    run_cells(CLAIM, {f"data-{cell.data}": partial(collected, cell) for cell in cells}, asked.jobs)
    run_cells(CLAIM, {cell.name: partial(learned, cell, asked.starts) for cell in cells}, asked.jobs)
    rows = run_cells(CLAIM, known(RESULTS / "cells" / CLAIM), 0)
    data = [json.loads(path.read_text()) for path in sorted((RESULTS / "cells" / CLAIM).glob("data-*.json"))]
    found = {"policies": summary(rows), "demonstrations": data}
    write_result(CLAIM, "python benchmarks/libero_nano.py", rows, found, sorted({row["seed"] for row in rows}))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
