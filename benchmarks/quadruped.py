"""Does a quadruped learn to follow commanded velocities within half an hour on two cores?

Run: python benchmarks/quadruped.py [SEEDS]. Each seed trains with ``robo-reward train experiment=quadruped``, stepping
in one thread; then 256 robots on flat ground, with commands spread evenly over 0.3 to 0.8 m/s, walk for 20 s with the
policy's mean actions. Survival: no fall in 20 s. Error: distance of the trunk's planar velocity from the command at
each step, averaged over the episode, falls included up to the fall. Beside it, in the same episodes: a robot that
stands still. Starts: the same policy from 2048 starts with commands drawn as in training, and who falls within 2 s.
ORACLE: the reward is hand-written.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from cells import Row, run_cells, run_folder, train, write_result

from robo_reward.build import load_policy
from robo_reward.contracts import Floats, Observation
from robo_reward.envs.locomotion.make_quadruped import make_world
from robo_reward.evaluation import wilson

CLAIM = "quadruped"
SEEDS = (120, 121, 122)
ROBOTS, STEPS = 256, 1000
STARTS, START_STEPS = 2048, 100
MEASURED = 77
"""The seed of the measured episodes; those of training are derived from other seeds."""
Act = Callable[[Observation], Floats]


def measure(act: Act) -> Row:
    """Walks 256 robots for 20 s."""
    world = make_world(num_worlds=ROBOTS, horizon=STEPS + 1)
    seen = world.reset(MEASURED)
    command = np.linspace(0.3, 0.8, ROBOTS)
    memory = world.task.memory
    memory["command"][:] = 0.0
    memory["command"][:, 0] = command
    alive, error, fall = np.ones(ROBOTS, bool), np.zeros(ROBOTS), np.full(ROBOTS, STEPS)
    for step in range(STEPS):
        transition = world.step(act(seen))
        falls = alive & transition.terminated
        fall[falls] = step
        alive &= ~transition.terminated
        error[alive] = world.task.mean_error()[alive]  # type: ignore[attr-defined]
        seen = world.observe()
    found = {
        "robots": ROBOTS,
        "survived": int(alive.sum()),
        "survival": float(alive.mean()),
        "survival_ci95": wilson(int(alive.sum()), ROBOTS),
        "mean_error": float(error.mean()),
        "worst_error": float(error.max()),
        "error_at_0.3_to_0.55": float(error[: ROBOTS // 2].mean()),
        "error_at_0.55_to_0.8": float(error[ROBOTS // 2 :].mean()),
        "seconds_to_fall": [round(float(s) * 0.02, 2) for s in fall[fall < STEPS]],
        "nan_resets": world.nan_resets,
    }
    world.close()
    return found


def cell(seed: int) -> Row:
    """Trains one seed and measures it."""
    folder = run_folder(CLAIM, str(seed))
    summary = train(folder, ["experiment=quadruped", "env.threads=1", f"seed={seed}", "video=false", "report=false"])
    if summary["status"] != "done":
        return {"seed": seed, **summary}
    policy = load_policy(Path(folder) / "policy")
    kept = ("env_steps", "updates", "wall_seconds", "cpu_seconds", "success_rate", "nan_resets", "used_env_reward")
    row: Row = {"seed": seed, "load_at_end": os.getloadavg()[0]} | {f"train_{key}": summary[key] for key in kept}
    return row | measure(lambda seen: policy.act(seen)[:, 0])


def starts(seed: int) -> Row:
    """Where in the gait's clock, and at which commands, a trained robot falls over its own start."""
    policy = load_policy(Path(run_folder(CLAIM, str(seed))) / "policy")
    world = make_world(num_worlds=STARTS, horizon=START_STEPS + 1)
    seen = world.reset(MEASURED)
    command, clock = world.task.memory["command"][:, 0].copy(), world.task.memory["phase"].copy()
    fall = np.full(STARTS, START_STEPS)
    for step in range(START_STEPS):
        transition = world.step(policy.act(seen)[:, 0])
        fall[transition.terminated & (fall == START_STEPS)] = step
        seen = world.observe()
    world.close()
    fallen = np.flatnonzero(fall < START_STEPS)
    told = [{"seconds": fall[i] / 50, "command": command[i], "clock": clock[i]} for i in fallen]
    return {
        "starts_of_seed": seed,
        "starts": STARTS,
        "fallen_within_2_s": len(fallen),
        "fallen": [{key: round(float(value), 2) for key, value in one.items()} for one in told],
    }


def main() -> None:
    """All seeds, one after another, and the standing robot."""
    seeds = [int(word) for word in sys.argv[1:]] or list(SEEDS)
    cells: dict[str, Callable[[], Row]] = {str(seed): partial(cell, seed) for seed in seeds}
    cells |= {f"starts-{seed}": partial(starts, seed) for seed in seeds}
    cells["standing"] = lambda: {"seed": None, **measure(lambda seen: np.zeros((ROBOTS, 12), np.float32))}
    *rows, standing = run_cells(CLAIM, cells, jobs=1)
    done = [row for row in rows if "survival" in row]
    summary = {
        "seeds_done": len(done),
        "median_error": statistics.median(row["mean_error"] for row in done) if done else None,
        "worst_seed_error": max((row["mean_error"] for row in done), default=None),
        "worst_seed_survival": min((row["survival"] for row in done), default=None),
        "longest_training_minutes": max((row["train_wall_seconds"] / 60 for row in done), default=None),
        "fallen_starts": {row["starts_of_seed"]: row["fallen_within_2_s"] for row in rows if "starts" in row},
        "standing_error": standing["mean_error"],
        "oracle": True,
    }
    write_result(
        CLAIM, f"python benchmarks/quadruped.py {' '.join(map(str, seeds))}", [*rows, standing], summary, seeds
    )
    print(summary)


if __name__ == "__main__":
    main()
