"""Learning on the emulated arm from 10 demonstrations, no programmed reward: success before and after, and the curve.

python benchmarks/arm_learning.py [--seeds 0,1,2] [--variants hil,alone,bold,no_resets] [--rollouts 40]   (20 minutes
a cell, in real time: the servos' clock is the machine's, so an arm does not learn faster than it moves)

``hil``: a simulated operator takes over where nothing comes of it. ``alone``: the same without anybody who takes over.
``bold``: corrections cost a thirtieth. ``no_resets``: push, there and back, nobody puts things back.
Success is the twin's verdict, which reaches neither learner nor reward; the operator, who is a person, sees the arm.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from cells import Row, run_cells, run_folder, write_result

BUSY = ["arm.loop.joints_age=0.3", "arm.loop.patience=3", "arm.sight.age_periods=8", "arm.sight.frozen_time=1",
        "robot.watches.bus_lost=5", "robot.answer_seconds=3"]  # fmt: skip
"""More patience than by default: everything shares a machine that does other work."""
REACH = ["demos=10", "episodes=20"]
VARIANTS: dict[str, list[str]] = {
    "hil": REACH,
    "alone": [*REACH, "arm.operator.every=0"],
    "bold": [*REACH, "learner.sac.anchor=0.1"],
    "no_resets": [*REACH, "arm.name=push", "arm.seconds=7", "robot.limits.torque=0.5",
                  "arm.task=push the red cube onto the blue disc",
                  "arm.back={task: push the red cube off the blue disc}"],
}  # fmt: skip
KINDS = ("before", "after", "imitation_alone", "corrected")
BLOCK = 10
TRIES = 4
"""A machine that stands still for seconds stops the arm: then the run is resumed, as a person would."""


def learned(variant: str, seed: int, rollouts: int) -> Row:
    """One run; the row."""
    out = run_folder("arm_learning", f"{variant}_{seed}")
    words = ["learner=hil_serl", "robot=emulated_so101", f"rollouts={rollouts}", f"seed={seed}"]
    words += [*VARIANTS[variant], *BUSY]
    command = [sys.executable, "-m", "robo_reward.cli", "train", f"run_dir={out}", "resume=true", *words]
    for tried in range(TRIES):
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        if done.returncode == 0:
            break
        print(f"{variant} {seed}, try {tried}: {done.stderr.strip()[-300:]}", flush=True)
    if done.returncode != 0:
        return {"variant": variant, "seed": seed, "status": "failed", "error": done.stderr.strip()[-300:]}
    summary: Any = json.loads((out / "summary.json").read_text())
    notes = summary["notes"]
    return {
        "variant": variant,
        "seed": seed,
        "command": " ".join(["robo-reward train", *words]),
        "status": summary["status"],
        "resumed": tried,
        **{name: notes[name] for name in KINDS},
        **curve(out),
        "interventions": notes["interventions_total"],
        "seconds_by_hand": notes["seconds_by_hand"],
        "seconds_of_practice": notes["seconds_of_practice"],
        "used_env_reward": summary["used_env_reward"],
        "used_env_success": summary["used_env_success"],
        "mean_correction_degrees": mean_correction(out),
        "put_back": notes.get("put_back"),
        "git_commit": summary.get("git_commit"),
        "wall_seconds": summary["wall_seconds"],
        "load": round(os.getloadavg()[0], 1),
    }


def curve(run: Path) -> Row:
    """Of each block of practice: share of episodes that succeeded without help, and interventions."""
    lines = [json.loads(line) for line in (run / "episodes.jsonl").read_text().splitlines()]
    practice = [line for line in lines if line["role"] == "practice"]
    blocks = [practice[first : first + BLOCK] for first in range(0, len(practice), BLOCK)]
    alone = [[bool(line["success"]) and line.get("interventions", 0) == 0 for line in block] for block in blocks]
    late = sum(line["late"] + line["skipped"] + line["starved"] for line in lines)
    return {
        "unassisted_success": [round(float(np.mean(block)), 2) for block in alone],
        "interventions_by_block": [sum(line.get("interventions", 0) for line in block) for block in blocks],
        "late_skipped_starved": late,
        "sent": sum(line["sent"] + line["by_hand"] for line in lines),
    }


def mean_correction(run: Path) -> float:
    """Degrees by which SAC moves the goals of body joints, on average over the demonstrations."""
    import torch

    from robo_reward.arm.episode import DEMONSTRATIONS, read_episode, stored
    from robo_reward.policies.on_arm.sighted_policy import load_sighted

    policy, moved = load_sighted(run / "policy"), []
    for place in stored(run, DEMONSTRATIONS):
        trace = read_episode(place).trace
        seen = policy.sight.features(trace.frames, trace.state)
        features = np.concatenate([seen, policy.sight.propose(seen)[0]], 1).astype(np.float32)
        with torch.no_grad():
            correction = policy.inner.agent.average_actor.mode(torch.from_numpy(features)).numpy()
        moved.append(np.abs(correction * policy.inner.scale * policy.reach)[:, :-1])
    return round(float(np.concatenate(moved).mean()), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--variants", default="hil")
    parser.add_argument("--rollouts", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    seeds = [int(seed) for seed in asked.seeds.split(",")]
    wanted = [(variant, seed) for variant in asked.variants.split(",") for seed in seeds]
    cells = {f"{v}_{s}": lambda v=v, s=s: learned(v, s, asked.rollouts) for v, s in wanted}
    run_cells("arm_learning", cells, jobs=asked.jobs)
    every = [(v, s) for v in VARIANTS for s in range(10)]
    rows = run_cells("arm_learning", {f"{v}_{s}": lambda: {} for v, s in every}, jobs=0)
    summary = {
        variant: {
            key: [row[key]["success_rate"] for row in rows if row["variant"] == variant and row["status"] == "done"]
            for key in KINDS
        }
        for variant in VARIANTS
    }
    command = "python benchmarks/arm_learning.py --seeds 0,1,2"
    write_result("arm_learning", command, rows, summary, sorted({row["seed"] for row in rows}))
    print(summary)


if __name__ == "__main__":
    main()
