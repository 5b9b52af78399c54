"""LIBERO needs its package and its assets; without either these tests are skipped and say so."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("robosuite", reason="LIBERO is not installed: pip install 'robo-reward[libero]'")


@pytest.fixture(scope="session")
def assets() -> str:
    folder = os.environ.get("ROBO_REWARD_LIBERO_ASSETS")
    if not folder:
        pytest.skip("LIBERO's assets are needed: set ROBO_REWARD_LIBERO_ASSETS")
    assert importlib.util.find_spec("libero") is not None
    return folder


@pytest.fixture(scope="session")
def sim_of(assets: str) -> Callable[[str, int], Any]:
    """A task's simulator, made once."""
    from robo_reward.envs.libero.catalogue import find_tasks
    from robo_reward.envs.libero.sim import LiberoSim

    made: dict[tuple[str, int], Any] = {}

    def sim(suite: str, number: int) -> Any:
        if (suite, number) not in made:
            made[suite, number] = LiberoSim(find_tasks(suite, number)[0])
        return made[suite, number]

    return sim
