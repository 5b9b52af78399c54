"""Asks the limiter for a million hostile goals and counts how many of the emitted ones break a limit.

python benchmarks/arm_limits.py   (half a minute on one core; needs no arm)
"""

from __future__ import annotations

import os
import time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from cells import write_result

from robo_reward.real_robot import hostile_goals as arm
from robo_reward.real_robot.limiter import Limiter

ARMS, STEPS = 200, 1000
SEEDS = (0, 1, 2, 3, 4)


def row(seed: int) -> dict[str, Any]:
    """200,000 goals: 200 arms side by side, 1,000 periods each, after a start at rest."""
    asked = arm.goals(np.random.default_rng(seed), ARMS, STEPS)
    limiter = arm.limiter(ARMS)
    began = time.perf_counter()
    emitted = arm.run(limiter, asked)
    seconds = time.perf_counter() - began
    travel = np.abs(np.diff(emitted, axis=0)).sum() / ARMS
    found = arm.violations(emitted)
    broken = sum(found.values())
    not_finite = int((~np.isfinite(asked)).any(axis=2).sum())
    print(f"seed {seed}: {ARMS * STEPS} goals, {broken} broken limits, {seconds:.1f} s", flush=True)
    return {
        "seed": seed,
        "goals": ARMS * STEPS,
        "not_finite_asked": not_finite,
        "travel_per_arm": round(float(travel), 1),
        "violations": found,
        "seconds": round(seconds, 2),
    }


def one_arm() -> float:
    """Milliseconds that one arm's step takes in the median, with the closed-form workspace of the test arm."""
    limiter: Limiter = arm.limiter(1)
    took = []
    for goal in arm.goals(np.random.default_rng(9), 1, 2000):
        began = time.perf_counter()
        limiter.step(goal)
        took.append(time.perf_counter() - began)
    return round(float(np.median(took)) * 1000, 3)


def main() -> None:
    rows = [row(seed) for seed in SEEDS]
    summary = {
        "goals": sum(entry["goals"] for entry in rows),
        "violations": sum(sum(entry["violations"].values()) for entry in rows),
        "step_ms": one_arm(),
    }
    write_result("arm_limits", "python benchmarks/arm_limits.py", rows, summary, SEEDS)
    print(summary)


if __name__ == "__main__":
    main()
