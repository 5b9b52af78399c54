"""Experts at LIBERO's own tasks: one of each skill solves its task by the benchmark's own test."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

pytest.importorskip("robosuite", reason="LIBERO is not installed: pip install 'robo-reward[libero]'")

TASKS = [
    ("libero_goal", 8),  # a bowl by its rim onto a plate
    ("libero_goal", 7),  # a knob
    ("libero_90", 22),  # a drawer to shut
    ("libero_90", 89),  # a book, leaning, under a shelf
]
SEED = 31


@pytest.mark.parametrize(("suite", "number"), TASKS)
def test_the_expert_solves_it(suite: str, number: int) -> None:
    if not os.environ.get("ROBO_REWARD_LIBERO_ASSETS"):
        pytest.skip("LIBERO's assets are needed: set ROBO_REWARD_LIBERO_ASSETS")
    from robo_reward.envs.libero.catalogue import HORIZONS, find_tasks
    from robo_reward.envs.libero.sim import LiberoSim
    from robo_reward.envs.libero_experts import make_expert

    sim: Any = LiberoSim(find_tasks(suite, number)[0])
    sim.reset(SEED)
    sim.settle()
    assert not sim.success()
    expert = make_expert(sim)
    for _ in range(HORIZONS[suite]):
        action = expert.action()
        assert action.shape == (7,)
        assert action.dtype == np.float32
        assert np.abs(action).max() <= 1.0
        sim.step(action)
        if sim.success():
            return
    pytest.fail(f"not solved; it was at '{expert.doing}'")
