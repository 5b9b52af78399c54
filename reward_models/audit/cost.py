"""What a reward model costs: time per frame alone and in a batch, and memory."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import replace

from robo_reward.contracts import RewardModel
from robo_reward.reward_models.audit.probes import shown
from robo_reward.trace import Trace

REPEATS = 3


def measure_cost(model: RewardModel, trace: Trace, batch: int = 64) -> dict[str, float]:
    """``ms_per_frame``: of an episode of two frames; ``frames_per_second``: of one with ``batch`` frames; medians.

    ``peak_memory_mb``: the most that this process ever held, Python and libraries included; with a GPU also
    ``peak_gpu_memory_mb`` of the batch.
    """
    count = len(trace.frame_steps)
    pair = shown(trace, [0, count - 1])
    many = shown(trace, [k % count for k in range(batch)])
    _reset_gpu()
    values = {"ms_per_frame": 1000 * _seconds(model, pair) / 2, "frames_per_second": batch / _seconds(model, many)}
    unit = 2**20 if sys.platform == "darwin" else 2**10
    values["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    gpu = _gpu_mb()
    return values if gpu is None else values | {"peak_gpu_memory_mb": gpu}


def _seconds(model: RewardModel, trace: Trace) -> float:
    taken = []
    for _ in range(REPEATS):
        fresh = replace(trace)  # models remember the embeddings of traces that they have seen
        start = time.perf_counter()
        model.estimate_episode(fresh)
        taken.append(time.perf_counter() - start)
    return max(1e-9, sorted(taken)[REPEATS // 2])


def _reset_gpu() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _gpu_mb() -> float | None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.max_memory_allocated():
        return None
    return float(torch.cuda.max_memory_allocated()) / 2**20
