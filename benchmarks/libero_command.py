"""The README's one command at full size: ``robo-reward train experiment=libero_nano``, what it takes and what it gains.

Run: python benchmarks/libero_command.py [--seeds 0] [--moved 30] [--more KEY=VALUE ...]
Each phase's wall and processor seconds are read from outside, where its folder or its line of output appears. The job's
own evaluation, before and after tuning, is on the shipped states; ``--moved``: so many further episodes of both on
moved ones. Pictures are as the assets draw them (``stand_in_visuals``).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from cells import RESULTS, Row, run_cells, run_folder, train, write_result

CLAIM = "libero_command"
TICKS = os.sysconf("SC_CLK_TCK")
WORLD = ("env.suite=libero_object", "env.task=[0,3,6]", "env.meshes=lighter")
"""As experiment=libero_nano has it."""
LOOK = 0.5
"""Seconds between looks at the running job."""


def phases(folder: Path, output: Path) -> dict[str, Callable[[], bool]]:
    """Phase -> whether it is over, in their order."""
    return {
        "demonstrations": lambda: "run folder:" in output.read_text(),
        "negatives and reward": (folder / "reward_model_first").exists,
        "scenes": lambda: "policy nano_vla" in output.read_text(),
        "imitation": (folder / "policy_sft").exists,
        "tuning": (folder / "policy").exists,
        "evaluation and report": lambda: False,
    }


def processor_seconds(process: int) -> float:
    """What a process and its children that have ended have used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / TICKS


def watched(folder: Path, overrides: Sequence[str]) -> tuple[Row, Row]:
    """Runs the command; its summary, and wall and processor seconds of each phase."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    output = folder.with_suffix(".log")
    command = [sys.executable, "-m", "robo_reward.cli", "train", "experiment=libero_nano", f"run_dir={folder}"]
    with output.open("w") as told:
        job = subprocess.Popen([*command, *overrides], stdout=told, stderr=subprocess.STDOUT)
        waiting = list(phases(folder, output).items())
        spent: Row = {}
        before, used = (time.monotonic(), 0.0), 0.0
        while job.poll() is None:
            used = processor_seconds(job.pid)
            now = (time.monotonic(), used)
            if waiting[0][1]():
                spent[waiting.pop(0)[0]] = _between(before, now)
                before = now
            time.sleep(LOOK)
        spent[waiting[0][0]] = _between(before, (time.monotonic(), used))
    if job.returncode != 0:
        raise SystemExit(f"the job failed:\n{output.read_text()[-2000:]}")
    return json.loads((folder / "summary.json").read_text()), spent


def _between(before: tuple[float, float], now: tuple[float, float]) -> Row:
    return {"wall_seconds": round(now[0] - before[0], 1), "cpu_seconds": round(now[1] - before[1], 1)}


def measured(folder: Path, seed: int, more: Sequence[str]) -> Row:
    """One run of the command."""
    summary, spent = watched(folder, [f"seed={seed}", *more])
    notes = summary["notes"]
    told = ("reward_auroc", "reward_of_successes", "reward_of_failures", "rewarded_episodes", "rewarded_successes")
    kept = ("rollouts", "env_steps", "used_env_reward", "used_env_success", "stand_in_visuals", "false_success_share")
    return {
        "seed": seed,
        "more": list(more),
        "minutes": round(summary["wall_seconds"] / 60, 1),
        "cpu_minutes": round(summary["cpu_seconds"] / 60, 1),
        "phases": spent,
        **{key: summary[key] for key in kept},
        **{key: notes.get(key) for key in (*told, "groups_without_spread", "success_by_task")},
        "starts": "shipped",
        "episodes": summary["success_episodes"],
        "before": summary["cloned_success_rate"],
        "after": summary["success_rate"],
        "after_ci95": summary["success_ci95"],
    }


def moved_states(folder: Path, seed: int, episodes: int) -> Row:
    """Both policies of a run where target and arm are displaced, on the same starts."""
    words = ["learner=as_is", "policy=lerobot", "env=libero", *WORLD, "env.evaluation.starts=moved"]
    words += [f"episodes={episodes}", "evaluation_seeds=[1]", "video=false", "report=false"]
    told: Row = {"seed": seed, "starts": "moved", "episodes": episodes}
    for when, policy in (("before", "policy_sft"), ("after", "policy")):
        found = train(folder.with_name(f"{folder.name}-{policy}-moved"), [*words, f"policy.path={folder / policy}"])
        if found.get("status") != "done":
            raise SystemExit(f"the evaluation of {folder / policy} failed: {found.get('error')}")
        told |= {when: found["success_rate"], f"{when}_ci95": found["success_ci95"]}
    return told


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--moved", type=int, default=30)
    parser.add_argument("--more", nargs="*", default=[])
    asked = parser.parse_args(arguments)
    cells: dict[str, Callable[[], Row]] = {}
    for seed in (int(word) for word in asked.seeds.split(",")):
        name = "-".join([*(word.replace("/", "_") for word in asked.more), f"seed{seed}"])
        folder = run_folder(CLAIM, name)
        cells[name] = partial(measured, folder, seed, asked.more)
        if asked.moved:
            cells[f"{name}-moved"] = partial(moved_states, folder, seed, asked.moved)
    run_cells(CLAIM, cells, 1)
    known = [path.stem for path in sorted((RESULTS / "cells" / CLAIM).glob("*.json"))]
    rows = run_cells(CLAIM, dict.fromkeys(known, dict), 0)
    kept = ("minutes", "cpu_minutes", "starts", "episodes", "before", "after")
    found = {name: {key: row[key] for key in kept if key in row} for name, row in zip(known, rows, strict=True)}
    write_result(CLAIM, "python benchmarks/libero_command.py", rows, found, sorted({row["seed"] for row in rows}))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
