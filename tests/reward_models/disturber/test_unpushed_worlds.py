"""Worlds that nobody pushes: nothing of them counts for the constraint, and a critic of their own judges them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pushed_point import PushedPoint, collected  # type: ignore[import-not-found]
from test_learned_disturber import bound_to, drive  # type: ignore[import-not-found]

from robo_reward.pushes.collected import Collected


def test_worlds_that_nobody_pushes_count_for_nothing() -> None:
    world = PushedPoint(num_worlds=16)
    disturber = bound_to(world, unpushed=0.25, eta=0.5)
    world.reset(0)
    force = disturber.force(world.observe())
    assert not force[:4].any()
    assert np.abs(force[4:]).sum(axis=(1, 2)).min() > 0.0
    drive(disturber, world, 5)
    cost, magnitude, paid = (
        np.array(part) for part in (disturber._seen.cost, disturber._seen.force, disturber._seen.paid)
    )
    advantage = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    metrics = disturber.on_rollout(collected(advantage, 0.9))
    assert metrics["slack"] == pytest.approx(0.5 * magnitude[:, 4:].mean() - cost[:, 4:].mean())
    assert metrics["unpushed_reward"] == pytest.approx(paid[:, :4].mean())


@pytest.mark.parametrize("constraint", ["ratio", "force", "none"])
def test_what_the_learners_critic_thinks_of_the_unpushed_worlds_counts_for_nothing(constraint: Any) -> None:
    found = []
    for opinion in (0.0, 9.0):
        world = PushedPoint(num_worlds=16)
        disturber = bound_to(world, unpushed=0.25, constraint=constraint)
        world.reset(0)
        drive(disturber, world, 5)
        advantage = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
        advantage[:, :4] += opinion
        disturber.on_rollout(Collected(advantage, np.zeros((5, 16), np.float32), 0.9, 0.95))
        found.append(advantage)
    assert found[0] == pytest.approx(found[1])
    assert found[0][:, :4].mean() == pytest.approx(0.0, abs=1e-5)
    assert found[0][:, :4].std() == pytest.approx(1.0, abs=1e-4)


def test_a_checkpoint_from_before_there_was_such_a_critic_is_taken() -> None:
    world = PushedPoint(num_worlds=16)
    disturber = bound_to(world, unpushed=0.25)
    world.reset(0)
    drive(disturber, world, 5)
    disturber.on_rollout(collected(np.ones((5, 16), np.float32), 0.9))
    saved = {name: part for name, part in disturber.dump().items() if name != "calm"}
    other = bound_to(world, unpushed=0.25)
    other.restore(saved)
    assert other.steps == disturber.steps
    assert other.calm.untaught
