"""nano_vla, supervised, on LIBERO: success on shipped and on moved states, each beside its blind twin's.

Run: python benchmarks/libero_nano.py [--suites libero_object] [--tasks 0,3,6|all] [--demos 50] [--seeds 0]
[--updates 14000] [--batch 16] [--starts 20] [--shift 0.06] [--scenes 400] [--every 4] [--pushes 0.08]
[--eyes seeing,blind] [--data FOLDER] [--execute 4] [--again shipped --starts 50] [--jobs 1].
Every cell is ``train`` (the scripted expert demonstrates from seeded resets: arm's joints + N(0, 0.02 rad), target
displaced by up to ``--shift`` metres, pushes, a picture ``--every`` so many decisions; with them ``--scenes``
rearranged scenes a task; the last weights count; the evaluation in it is on shipped states) and ``evaluate`` on moved
states, each in its own process. ``places``: actions see of the pictures only where things are (policy.bottleneck),
``relative``: and from the hand alone, without the words and the hand's place on the table (policy=nano_vla_places);
``seeing``: all that is seen, as experiment=libero_sft has it; ``blind`` is the same policy trained on the same
demonstrations without pictures.
``--starts``: evaluation episodes a task. Numbers are of the pictures that the assets draw: ``stand_in_visuals`` says
whether these are the published ones.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

from cells import RESULTS, Row, run_cells, run_folder, train, write_result

from robo_reward.envs.libero.catalogue import find_tasks

CLAIM = "libero_nano"
EYES: dict[str, list[str]] = {
    "places": ["policy.bottleneck=true", "policy.hand=[0,1,2]"],
    "relative": ["policy=nano_vla_places"],
    "seeing": ["policy.bottleneck=false", "policy.hand=[]"],
    "blind": ["policy.blind=true"],
}
"""What the actions see -> the settings of it."""
MEASURED = 1
"""The evaluation seed: fixtures, displacements and the arm's joints follow from it."""
SETTINGS = ("suite", "tasks", "demos", "shift", "scenes", "updates", "batch", "every", "pushes", "seed", "eyes")
SAVED = "policy/pretrained_model/config.json"
MESHES = "lighter"
"""What is drawn of the meshes, in training and evaluation."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One policy: what it learns from and how."""

    suite: str
    tasks: str
    demos: int
    shift: float
    scenes: int
    updates: int
    batch: int
    every: int
    pushes: float
    seed: int
    eyes: str

    @property
    def name(self) -> str:
        """Name of the cell."""
        data = f"{self.tasks.replace(',', '+')}-{self.demos}demos-shift{self.shift:g}-{self.scenes}scenes"
        seen = "" if self.every == 4 else f"-every{self.every}"
        pushed = "" if self.pushes == 0.08 else f"-pushes{self.pushes:g}"
        return f"{self.suite}-{data}{seen}{pushed}-{self.updates}x{self.batch}-{self.eyes}-seed{self.seed}"

    @property
    def env(self) -> list[str]:
        """The world's settings."""
        tasks = "all" if self.tasks == "all" else f"[{self.tasks}]"
        return [f"env.suite={self.suite}", f"env.task={tasks}"]


def robo_reward(verb: str, overrides: Sequence[str]) -> None:
    """Runs a verb in its own process."""
    command = [sys.executable, "-m", "robo_reward.cli", verb, *overrides]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")


def learned(cell: Cell, starts: int, data: str | None) -> Row:
    """Trains a policy, which is evaluated on shipped states, and evaluates it on moved ones; what is there is kept."""
    run, there = run_folder(CLAIM, cell.name), run_folder(CLAIM, f"{cell.name}-moved")
    if finished(run) is None:
        summary = train(run, [*settings(cell, starts), *([] if data is None else [f"data={data}"])])
        if summary["status"] != "done":
            raise SystemExit(f"{cell.name} failed: {summary.get('error')}")
    if finished(there) is None:
        robo_reward("evaluate", [f"run={run}", f"run_dir={there}", "env.starts=moved", "video=false"])
    shipped, moved, saved = finished(run), finished(there), json.loads((run / SAVED).read_text())
    assert shipped is not None
    assert moved is not None
    return {
        **{key: getattr(cell, key) for key in SETTINGS},
        **{key: saved[key] for key in ("n_action_steps", "places_weight", "heat_weight", "questions")},
        "demonstrations": "made in the run" if data is None else "given as a dataset",
        "meshes": MESHES,
        "samples": shipped["notes"]["samples"],
        "acting_updates": shipped["notes"].get("acting_updates", 0),
        "parameters": shipped["notes"]["parameters"],
        "minutes_training": round(training_seconds(run, cell.batch) / 60, 1),
        "cpu_minutes_with_evaluation_on_shipped": round(shipped["cpu_seconds"] / 60, 1),
        "loss": losses(run),
        "stand_in_visuals": shipped["stand_in_visuals"],
        "shipped": success(shipped),
        "moved": success(moved),
    }


def again(cell: Cell, execute: int) -> Row:
    """A policy that was trained before, with so many actions of each chunk carried out before it looks again."""
    found: Row = {key: getattr(cell, key) for key in SETTINGS} | {"n_action_steps": execute}
    run = run_folder(CLAIM, cell.name)
    for starts in ("shipped", "moved"):
        there = run_folder(CLAIM, f"{cell.name}-{starts}-execute{execute}")
        if finished(there) is None:
            asked = [f"run={run}", f"run_dir={there}", f"env.starts={starts}", f"execute={execute}", "video=false"]
            robo_reward("evaluate", asked)
        summary = finished(there)
        assert summary is not None
        found |= {starts: success(summary), "stand_in_visuals": summary["stand_in_visuals"]}
    return found


def more(cell: Cell, state: str, starts: int) -> Row:
    """A policy that was trained before, from so many starts of every task."""
    run, there = run_folder(CLAIM, cell.name), run_folder(CLAIM, f"{cell.name}-{state}-{starts}starts")
    episodes = starts * len(tasks_of(cell))
    if finished(there) is None:
        asked = [f"run={run}", f"run_dir={there}", f"env.starts={state}", f"episodes={episodes}"]
        robo_reward("evaluate", [*asked, f"evaluation_seeds=[{MEASURED}]", "video=false"])
    found, saved = finished(there), json.loads((run / SAVED).read_text())
    assert found is not None
    return {
        **{key: getattr(cell, key) for key in SETTINGS},
        **{key: saved[key] for key in ("n_action_steps", "places_weight", "heat_weight", "questions")},
        "starts": starts,
        "stand_in_visuals": found["stand_in_visuals"],
        "cpu_minutes": round(found["cpu_seconds"] / 60, 1),
        state: success(found),
    }


def tasks_of(cell: Cell) -> Sequence[object]:
    """The tasks that a cell names."""
    return find_tasks(cell.suite, "all" if cell.tasks == "all" else cell.tasks.split(","))


def settings(cell: Cell, starts: int) -> list[str]:
    """What ``robo-reward train`` is told."""
    return [
        "experiment=libero_sft",
        *cell.env,
        f"env.meshes={MESHES}",
        f"demos={cell.demos}",
        f"recording.every={cell.every}",
        f"recording.pushes={cell.pushes}",
        f"env.target_shift={cell.shift}",
        f"seed={cell.seed}",
        f"learner.updates={cell.updates}",
        f"learner.batch={cell.batch}",
        f"episodes={starts * len(tasks_of(cell))}",
        f"evaluation_seeds=[{MEASURED}]",
        "video=false",
        "report=false",
        f"learner.scenes={cell.scenes or 'null'}",
        *EYES[cell.eyes],
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


def metrics(run: Path, key: str = "sft/loss") -> list[Row]:
    """The run's logged rows that have a key; those of training."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if key in row]


def losses(run: Path) -> list[float]:
    """The training curve: about ten values of the loss."""
    found = [round(float(row["sft/loss"]), 4) for row in metrics(run)]
    return found[:: max(1, len(found) // 10)]


def training_seconds(run: Path, batch: int) -> float:
    """How long the updates took."""
    rates = [float(row["timing/samples_per_second"]) for row in metrics(run)]
    samples = batch * json.loads((run / "summary.json").read_text())["updates"] / len(rates)
    key = "timing/acting_seconds"
    acting = [float(row[key]) for row in metrics(run, key)]
    return sum(samples / rate for rate in rates) + sum(acting)


def summary(rows: Sequence[Row]) -> Row:
    """Policy without its seed and eyes -> success on both kinds of starts, mean over seeds, and lead over the twin."""
    table: Row = {}
    for row in rows:
        told = f"{row['suite']} tasks {row['tasks']}, {row['demos']} demos, shift {row['shift']}"
        key = f"{told}, {row.get('scenes', 0)} scenes, {row['updates']} updates of {row.get('batch', 64)}"
        key += f", a picture every {row['every']}" if row.get("every", 4) != 4 else ""
        key += f", pushes {row['pushes']:g}" if row.get("pushes", 0.08) != 0.08 else ""
        key += f", {row.get('n_action_steps', 8)} actions a chunk"
        key += f", heat_weight {row['heat_weight']:g}" if row.get("heat_weight") else ""
        key += f", {row['starts']} starts a task" if "starts" in row else ""
        for starts in (state for state in ("shipped", "moved") if state in row):
            table.setdefault(key, {}).setdefault(f"{starts} {row['eyes']}", []).append(row[starts]["success_rate"])
    means = {key: {name: sum(v) / len(v) for name, v in found.items()} for key, found in table.items()}
    for key, found in means.items():
        for starts, eyes in product(("shipped", "moved"), ("relative", "places", "seeing")):
            if {f"{starts} {eyes}", f"{starts} blind"} <= set(found):
                found[f"{starts} lead of {eyes}"] = found[f"{starts} {eyes}"] - found[f"{starts} blind"]
        found["seeds"] = {eyes: len(table[key].get(f"shipped {eyes}", ())) for eyes in EYES}
    return means


def known(folder: Path) -> dict[str, Callable[[], Row]]:
    """Every cell that has a file."""
    return dict.fromkeys([path.stem for path in sorted(folder.glob("*.json"))], dict)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suites", default="libero_object")
    parser.add_argument("--tasks", default="all")
    parser.add_argument("--demos", default="50")
    parser.add_argument("--shift", type=float, default=0.06)
    parser.add_argument("--scenes", type=int, default=400)
    parser.add_argument("--every", type=int, default=4, help="decisions from picture to picture of a demonstration")
    parser.add_argument("--pushes", type=float, default=0.08, help="of a demonstration, as recording.pushes")
    parser.add_argument("--updates", type=int, default=14000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--eyes", default="seeing,blind", help="of " + ", ".join(EYES))
    parser.add_argument(
        "--data", help="demonstrations of these tasks that robo-reward collect wrote: in place of new ones"
    )
    parser.add_argument("--execute", type=int, help="train nothing: evaluate again with so many actions of each chunk")
    parser.add_argument("--again", choices=("shipped", "moved"), help="train nothing: evaluate from --starts a task")
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args(arguments)
    if unknown := set(asked.eyes.split(",")) - set(EYES):
        parser.error(f"--eyes {', '.join(sorted(unknown))}: choose of {', '.join(EYES)}")
    grid = product(asked.suites.split(","), asked.demos.split(","), asked.seeds.split(","), asked.eyes.split(","))
    learns = (asked.shift, asked.scenes, asked.updates, asked.batch, asked.every, asked.pushes)
    cells = [Cell(suite, asked.tasks, int(demos), *learns, int(seed), eye) for suite, demos, seed, eye in grid]
    if asked.again is not None:
        names = {cell: f"{cell.name}-{asked.again}-{asked.starts}starts" for cell in cells}
        run_cells(CLAIM, {names[cell]: partial(more, cell, asked.again, asked.starts) for cell in cells}, asked.jobs)
    elif asked.execute is None:
        run_cells(CLAIM, {cell.name: partial(learned, cell, asked.starts, asked.data) for cell in cells}, asked.jobs)
    else:
        names = {cell: f"{cell.name}-execute{asked.execute}" for cell in cells}
        run_cells(CLAIM, {names[cell]: partial(again, cell, asked.execute) for cell in cells}, asked.jobs)
    rows = run_cells(CLAIM, known(RESULTS / "cells" / CLAIM), 0)
    found = {"policies": summary(rows)}
    write_result(CLAIM, "python benchmarks/libero_nano.py", rows, found, sorted({row["seed"] for row in rows}))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
