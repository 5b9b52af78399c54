"""What the fast rendering profile saves: processor time of a frame, fast against pretty, by size.

Run: python benchmarks/rendering.py. Both are timed in turns on the same states of Meta-World drawer-open, two views.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
from cells import Row, write_result

from robo_reward.envs.metaworld_env import make_world

FRAMES = 20


def seconds_per_frame(size: int, profile: str) -> float:
    """Processor seconds of one frame, the first (which makes the context) left out."""
    world = make_world("drawer-open", height=size, width=size, profile=profile)  # type: ignore[arg-type]
    world.reset(0)
    spent = []
    for _ in range(FRAMES):
        world.step(np.zeros((1, 4), np.float32))
        views = world.observe().views
        start = time.process_time()
        for name in world.view_names:
            views[name]
        spent.append((time.process_time() - start) / len(world.view_names))
    world.close()
    return statistics.median(spent[2:])


def main() -> None:
    """Times every size in turns."""
    rows: list[Row] = []
    for size in (64, 128):
        for round_number in range(3):
            fast, pretty = seconds_per_frame(size, "fast"), seconds_per_frame(size, "pretty")
            rows.append({"size": size, "round": round_number, "fast_ms": 1e3 * fast, "pretty_ms": 1e3 * pretty})
            rows[-1]["ratio"] = pretty / fast
    summary = {
        f"ratio_median_{size}": statistics.median(r["ratio"] for r in rows if r["size"] == size) for size in (64, 128)
    }
    write_result("rendering", "python benchmarks/rendering.py", rows, summary, [0])
    print(summary)


if __name__ == "__main__":
    main()
