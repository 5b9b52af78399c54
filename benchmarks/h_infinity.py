"""Does an adversary under the H-infinity constraint make a quadruped harder to push over than its rivals do?

Run: python benchmarks/h_infinity.py [CONDITION ...] [SEED ...] [steps=6_000_000] [limit=80]. All conditions and seeds
go on from the first policy of ``benchmarks/quadruped.py``, which was never pushed, for as many further environment
steps with the same learner, body, bound of the force, curriculum and share of worlds that nobody pushes; what differs
is who pushes, and that adversaries which learn bring a critic of the unpushed worlds along, which pushes at random and
nobody's do not. Then ``robo-reward evaluate disturbance=sweep`` measures each policy: F50 is the force at which half of
100 episodes end in a fall within 4 s (3 s pushed), for constant, sudden (0.2 s), periodic (1 Hz) pushes in 8
directions, and for a fresh adversary trained against the frozen policy. Unpushed: the reward of the run's own
evaluation. ``collect`` runs nothing and writes what is there, other steps or limits into a file of their own;
``train`` trains and measures nothing yet.
ORACLE: the reward is hand-written.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from cells import Row, run_cells, run_folder, train, write_result

CLAIM = "h_infinity"
SEEDS = (130, 131, 132)
STEPS = 6_000_000
LIMIT = 80.0
"""Newtons."""
SHARED = ["bodies=[trunk]", "vertical=false", "curriculum.first=0.2", "curriculum.falls=0.005", "unpushed=0.25"]
"""While more than one robot falls in 4 pushed seconds the bound waits."""
CONDITIONS: dict[str, list[str]] = {
    "h_infinity": ["hook=disturber"],
    "random_pushes": ["hook=random_pushes"],
    "plain": ["hook=none"],
    "force_bounded": ["hook=force_bounded"],
    "no_constraint": ["hook=disturber", "hook.constraint=none"],
}
KINDS = ("constant", "sudden", "periodic", "worst")
RESOLUTION = 5
"""Newtons between the last two forces of a bisection."""
COMMON = ["experiment=quadruped", "env.threads=1", "video=false", "report=false"]
GOES_ON = ["learner.checkpoint_every=200_000", "learner.learning_rate=2e-4", "resume=true"]
"""The rate that the start's training ended with; as at its beginning, a larger one would undo it."""
TRACED = ("ratio", "lambda", "cost", "falls", "force_newtons", "bound_newtons")


def start() -> Path:
    """The policy that all go on from: the quadruped benchmark's first one, trained here where that has not run."""
    folder = run_folder("quadruped", "120")
    if not (folder / "summary.json").exists():
        train(folder, [*COMMON, "seed=120"])
    return folder


def cell(condition: str, seed: int, steps: int, limit: float) -> Row:
    """Trains one condition and measures how hard it can be pushed."""
    row: Row = {"condition": condition, "seed": seed, "steps": steps, "limit_newtons": limit}
    folder = run_folder(CLAIM, named(condition, seed, steps, limit))
    if condition == "start":
        folder = start()
    else:
        trained(condition, seed, steps, limit)
    summary = json.loads((folder / "summary.json").read_text())
    if summary["status"] != "done":
        return {**row, **summary}
    horizon = summary["notes"]["horizon"]
    row |= {f"train_{k}": summary[k] for k in ("env_steps", "wall_seconds", "cpu_seconds", "nan_resets")}
    row |= {"unpushed_reward_per_step": summary["env_return"] / horizon, "unpushed_success": summary["success_rate"]}
    return row | trace(folder, limit) | measured(folder)


def trained(condition: str, seed: int, steps: int, limit: float) -> Row:
    """The summary of a condition's run, which is trained where that has not been done."""
    folder = run_folder(CLAIM, named(condition, seed, steps, limit))
    summary = folder / "summary.json"
    if summary.exists() and json.loads(summary.read_text())["status"] == "done":
        return Row(json.loads(summary.read_text()))
    bound = [f"curriculum.limit={limit}", f"curriculum.warmup={steps // 25}", f"curriculum.ramp={steps // 2}"]
    pushes = [] if condition == "plain" else [f"hook.{setting}" for setting in [*SHARED, *bound]]
    more = [f"seed={seed}", f"steps={steps}", f"learner.start={start()}"]
    return train(folder, [*COMMON, *GOES_ON, *CONDITIONS[condition], *pushes, *more])


def named(condition: str, seed: int, steps: int, limit: float) -> str:
    """A cell's name."""
    return f"{condition}-{seed}-{steps}-{limit:.0f}N"


def measured(folder: Path) -> Row:
    """F50 of each kind of push, and how the policy walks unpushed; kinds that were measured are not measured again."""
    curves: dict[str, Row] = {}
    for kind in KINDS:
        found = [curve["f50"] for curve in curves.values()]
        # as in one sweep of all kinds: the adversary practises where half fall under the others
        where = [f"disturbance.practice.newtons={max(min(found), RESOLUTION)}"] if kind == "worst" else []
        told = swept(folder, kind, where)
        if "error" in told:
            return told
        curves[kind] = told["curves"][kind]
    row: Row = {}
    for kind, curve in curves.items():
        row |= {f"f50_{kind}": curve["f50"], f"f50_{kind}_censored": curve["censored"]}
        row |= {f"f50_{kind}_ci95": curve["f50_ci95"]}
    unpushed = curves["sudden"]["points"][0]
    return row | {"unpushed_survival": unpushed["survival"], "unpushed_error": unpushed["error"]}


def swept(folder: Path, kind: str, more: Sequence[str]) -> Row:
    """What ``evaluate disturbance=sweep`` told of one kind of push."""
    to = folder.with_name(f"{folder.name}-pushed-{kind}")
    if not (to / "disturbance.json").exists():
        shutil.rmtree(to, ignore_errors=True)
        overrides = [f"run={folder}", f"run_dir={to}", "disturbance=sweep", "video=false", *more]
        chosen = [f"kinds=[{kind}]", "forces=[0]", "most=240", f"resolution={RESOLUTION}", "schedule.seconds=4"]
        chosen += ["practice.steps=200_000", "practice.worlds=64"]
        command = [sys.executable, "-m", "robo_reward.cli", "evaluate", *overrides]
        command += [f"disturbance.{setting}" for setting in chosen]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        if done.returncode != 0:
            return {"error": done.stderr.strip().splitlines()[-1:]}
    return Row(json.loads((to / "disturbance.json").read_text()))


def trace(folder: Path, limit: float) -> Row:
    """The disturber's metrics over training, thinned to 20 rows; the spread of the policy's reward at full force."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    pushed = [line for line in lines if "disturber/bound_newtons" in line]
    late = [x["rollout/reward"] for x in pushed if x["disturber/bound_newtons"] >= limit and "rollout/reward" in x]
    found: Row = {}
    if late:
        found |= {"late_reward_mean": statistics.fmean(late), "late_reward_sd": statistics.pstdev(late)}
    if pushed and "disturber/eta" in pushed[0]:
        rows = pushed[:: max(1, len(pushed) // 20)]
        found["eta"] = pushed[0]["disturber/eta"]
        found["trace"] = [{k: x.get(f"disturber/{k}") for k in TRACED} | {"steps": _steps(x)} for x in rows]
        ratios = [x["disturber/ratio"] for x in pushed if x["disturber/bound_newtons"] >= limit]
        found["late_ratio"] = statistics.fmean(ratios) if ratios else None
    return found


def _steps(line: Mapping[str, float]) -> int:
    return int(line["rollout/env_steps"])


def summarise(rows: Sequence[Row], steps: int, limit: float) -> Row:
    """Medians over seeds, and H-infinity against its rivals."""
    summary: Row = {"steps": steps, "limit_newtons": limit, "oracle": True}
    medians: dict[str, Row] = {}
    for condition in ("start", *CONDITIONS):
        done = [row for row in rows if row["condition"] == condition and "f50_worst" in row]
        if done:
            kept = [*(f"f50_{kind}" for kind in KINDS), "unpushed_reward_per_step", "unpushed_error"]
            medians[condition] = {key: statistics.median(row[key] for row in done) for key in kept}
            medians[condition]["seeds"] = len(done)
    summary["medians"] = medians
    mine = medians.get("h_infinity")
    for rival in ("random_pushes", "plain"):
        if mine and rival in medians:
            theirs = medians[rival]
            summary[f"f50_ratio_to_{rival}"] = {k: mine[f"f50_{k}"] / max(theirs[f"f50_{k}"], 1e-9) for k in KINDS}
            key = "unpushed_reward_per_step"
            summary[f"unpushed_reward_ratio_to_{rival}"] = mine[key] / theirs[key]
    return summary


def main() -> None:
    """The chosen cells, seed by seed."""
    words = [word for word in sys.argv[1:] if word not in ("collect", "train") and "=" not in word]
    given = dict(word.split("=") for word in sys.argv[1:] if "=" in word)
    steps, limit = int(given.get("steps", STEPS)), float(given.get("limit", LIMIT))
    seeds = [int(word) for word in words if word.isdigit()] or list(SEEDS)
    chosen = [word for word in words if not word.isdigit()] or list(CONDITIONS)
    if unknown := set(chosen) - set(CONDITIONS):
        sys.exit(f"no such condition: {', '.join(sorted(unknown))}; there are {', '.join(CONDITIONS)}")

    def grid(names: Sequence[str], numbers: Sequence[int]) -> dict[str, Callable[[], Row]]:
        turns = [(name, seed, steps, limit) for seed in numbers for name in names]
        return {named(*turn): partial(cell, *turn) for turn in turns} | {"start": partial(cell, "start", 120, 0, limit)}

    if "train" in sys.argv:
        for seed in seeds:
            for condition in chosen:
                print(condition, seed, trained(condition, seed, steps, limit)["status"], flush=True)
        return
    if "collect" not in sys.argv:
        run_cells(CLAIM, grid(chosen, seeds), jobs=1)
    rows = run_cells(CLAIM, grid(list(CONDITIONS), SEEDS), jobs=0)
    summary = summarise(rows, steps, limit)
    command = " ".join(["python benchmarks/h_infinity.py", *(word for word in sys.argv[1:] if word != "collect")])
    name = CLAIM if (steps, limit) == (STEPS, LIMIT) else f"{CLAIM}_{steps}_{limit:.0f}N"
    write_result(name, command, rows, summary, sorted({row["seed"] for row in rows}))
    print(json.dumps(summary, indent=2))


if __name__ == "__main__":
    main()
