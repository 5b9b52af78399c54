"""What the socket costs: batches of frames priced by goal_clip in another process against the same in this one.

    python benchmarks/pricing_remote.py            writes benchmarks/results/pricing_remote.json

Both processes hold the same architecture with random weights: time does not depend on them, quality does and is not
measured here. Local and remote repeats alternate; the ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robo_reward.build import build_reward_model
from robo_reward.runs import atomic
from robo_reward.trace import Trace

RESULT = Path(__file__).parent / "results" / "pricing_remote.json"
REMOTE = "robo_reward.reward_models.remote.client.connect_remote"


def recipe(architecture: str) -> dict[str, Any]:
    """goal_clip as its yaml says, with random weights and one view."""
    import hydra
    from omegaconf import OmegaConf

    with hydra.initialize_config_module("robo_reward.configs", version_base="1.3"):
        words = ["reward_model=goal_clip", f"reward_model.architecture={architecture}", "reward_model.pretrained=null"]
        words += ["reward_model.low=0", "reward_model.high=1"]
        config = hydra.compose("train", [*words, "env.views=[front]"]).reward_model
    return dict(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]


def episode(frames: int, size: int, seed: int) -> Trace:
    """An episode of noise: every call a new one, so that no cache answers."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(0, 256, (frames, size, size, 3), dtype=np.uint8)
    zeros = np.zeros((frames, 1), np.float32)
    return Trace("open the drawer", zeros, zeros[1:], {"front": pictures}, np.arange(frames), 10.0, "video")


def seconds(price: Callable[[Trace], Any], trace: Trace) -> float:
    """Wall-clock seconds of one pricing."""
    start = time.perf_counter()
    price(trace)
    return time.perf_counter() - start


def measure(frames: int, size: int, repeats: int, architecture: str, threads: int) -> dict[str, Any]:
    """Medians of interleaved repeats, after one warm-up each."""
    torch.set_num_threads(threads)
    made = recipe(architecture)
    local = build_reward_model(made)
    remote = build_reward_model({"_target_": REMOTE, "_recursive_": False, "spawn": made, "timeout": 600.0})
    rows = []
    for repeat in range(repeats + 1):
        pair = {"repeat": repeat}
        for name, model in (("local", local), ("remote", remote)):
            pair[name] = seconds(model.estimate_episode, episode(frames, size, repeat))  # type: ignore[assignment]
        if repeat:
            rows.append(pair)
    remote.close()  # type: ignore[attr-defined]
    here, there = (statistics.median(float(row[name]) for row in rows) for name in ("local", "remote"))
    return {"rows": rows, "local_seconds": here, "remote_seconds": there, "overhead": there / here - 1}


def main() -> None:
    """Measures and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("frames", 256), ("size", 224), ("repeats", 5), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--architecture", default="ViT-B-32")
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    os.environ.update({"OMP_NUM_THREADS": str(asked.threads), "HF_HUB_OFFLINE": "1"})
    found = measure(asked.frames, asked.size, asked.repeats, asked.architecture, asked.threads)
    rows = found.pop("rows")
    atomic.write_json(
        asked.out,
        {
            "claim": "pricing a batch of frames in another process costs at most 15% more than in this one",
            "command": f"python benchmarks/pricing_remote.py --frames {asked.frames} --repeats {asked.repeats}",
            "date": time.strftime("%Y-%m-%d"),
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
            "versions": {name: version(name) for name in ("torch", "open-clip-torch", "numpy")},
            "weights": "random",
            "seeds": list(range(1, asked.repeats + 1)),
            "architecture": asked.architecture,
            "frames": asked.frames,
            "size": asked.size,
            "threads": asked.threads,
            "rows": rows,
            "summary": found,
        },
    )
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
