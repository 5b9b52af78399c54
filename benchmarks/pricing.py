"""What pricing costs beside the encoder: goal_clip against open_clip's own preprocessing and encode_image.

Run: python benchmarks/pricing.py. Both take the same uint8 frames in turns in one process on one thread, with random
weights (the time is the same, nothing is downloaded). Times are processor seconds, so other work on the machine counts
little; the ratio is that of throughputs, open_clip's time over ours, and its median over the repeats is the result.
A further mode (another process, another batch) is one more entry of ``CELLS``: a function that returns a row.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from cells import Row, run_cells, write_result
from numpy.typing import NDArray

from robo_reward.contracts import Estimate
from robo_reward.reward_models.clip.goal_clip import GoalClip, goal_clip
from robo_reward.trace import Trace

ARCHITECTURE = "ViT-B-32"
REPEATS = 7


def episode(count: int, size: int, view: str = "front") -> Trace:
    """A trace of ``count`` noisy frames: content does not change the time."""
    frames = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    none = np.zeros((count - 1, 1), np.float32)
    state = np.zeros((count, 1), np.float32)
    return Trace("open the drawer", state, none, {view: frames}, np.arange(count), 10.0, "policy")


def own_way(net: Any, transform: Any, frames: NDArray[np.uint8]) -> torch.Tensor:
    """open_clip's: picture by picture through its transform, then one batch through the image tower."""
    from PIL import Image

    with torch.inference_mode():
        images = torch.stack([transform(Image.fromarray(frame)) for frame in frames])
        encoded: torch.Tensor = net.encode_image(images)
    return encoded


def price(model: GoalClip, trace: Trace) -> Estimate:
    """Ours: of a trace that is new every time, since the model remembers the scores of those that it has seen."""
    return model.estimate_episode(replace(trace))


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def in_process(count: int, size: int) -> Row:
    """One row: ``count`` frames of ``size`` x ``size``, every repeat kept."""
    import open_clip

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # random weights are said in the row
    model = goal_clip(["front"], ARCHITECTURE, None, ["a robot that opened the drawer"], ["a robot"], low=0.0, high=1.0)
    trace, net = episode(count, size), model.encoder.net
    setting = open_clip.transform.PreprocessCfg(**open_clip.get_model_preprocess_cfg(net))
    transform = open_clip.transform.image_transform_v2(setting, is_train=False)
    ours, theirs = partial(price, model, trace), partial(own_way, net, transform, trace.frames["front"])
    ours(), theirs()  # the first calls load and allocate
    times = [
        (seconds(ours), seconds(theirs)) if k % 2 else (seconds(theirs), seconds(ours))[::-1] for k in range(REPEATS)
    ]
    prepare = seconds(lambda: model.encoder.pixels(trace.frames["front"]))
    return {
        "mode": "in_process",
        "model": ARCHITECTURE,
        "weights": "random",
        "batch": count,
        "size": size,
        "threads": 1,
        "goal_clip_ms": [round(1e3 * a, 1) for a, _ in times],
        "open_clip_ms": [round(1e3 * b, 1) for _, b in times],
        "preprocess_ms": round(1e3 * prepare, 1),
        "ratio": statistics.median(b / a for a, b in times),
    }


CELLS: dict[str, Callable[[], Row]] = {
    "in_process_32x256": partial(in_process, 32, 256),
    "in_process_32x96": partial(in_process, 32, 96),
}


def main() -> None:
    """Runs what is not there yet and writes the table."""
    rows = run_cells("pricing", CELLS, jobs=1)
    own = [row["ratio"] for row in rows if row["mode"] == "in_process"]
    summary = {"ratio_to_open_clip_median": statistics.median(own), "ratio_to_open_clip_worst": min(own)}
    write_result("pricing", "python benchmarks/pricing.py", rows, summary, [0])
    print(summary)


if __name__ == "__main__":
    main()
