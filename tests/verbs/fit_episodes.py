"""Demonstrations of two paper tasks, and the verb fit on them, quick."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from robo_reward import cli
from robo_reward.fitting.episodes import Episode
from robo_reward.trace import Trace

QUICK = ["reward_model.fit.steps=60", "reward_model.refit_steps=20", "reward_model.members=2"]
STEPS = 24


def demonstration(task: str = "go right", mirrored: bool = False, size: int = 32, seed: int = 0) -> Trace:
    """A bright square that wanders over a noisy picture; success from step 20 on."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 40, (STEPS + 1, size, size, 3)).astype(np.uint8)
    for step in range(STEPS + 1):
        place = round((size - 8) * (1 - step / STEPS if mirrored else step / STEPS))
        frames[step, 12:20, place : place + 8] = 220
    line = np.linspace(0, 1, STEPS + 1, dtype=np.float32)[:: -1 if mirrored else 1]
    return Trace(
        task=task,
        state=np.stack([line, 1 - line], 1),
        action=np.full((STEPS, 2), 0.5, np.float32),
        frames={"front": frames, "top": frames[:, ::-1].copy()},
        frame_steps=np.arange(STEPS + 1),
        fps=10.0,
        source="demonstration",
        success=np.arange(STEPS + 1) >= 20,
    )


def episodes(count: int, origin: str = "paper") -> list[Episode]:
    return [Episode(demonstration(seed=k), origin, k) for k in range(count)]


def fit(words: Sequence[str], folder: Path) -> int:
    return cli.run(["fit", *QUICK, *words, f"run_dir={folder}"])
