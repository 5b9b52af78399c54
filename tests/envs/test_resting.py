"""A rollout begins each episode itself, so its world need not begin another one where an episode ends."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from robo_reward.contracts import Floats
from robo_reward.envs.gym_env import make_world
from robo_reward.envs.sim_env import SimEnv
from robo_reward.envs.vector_world import VectorWorld
from robo_reward.explorers import RandomPolicy
from robo_reward.rollout import rollout

HORIZON = 6


@pytest.fixture
def world() -> Iterator[VectorWorld]:
    made = make_world("Reacher-v5", horizon=HORIZON)
    yield made
    made.close()


def policy(world: VectorWorld) -> RandomPolicy:
    return RandomPolicy(world.action_space, np.random.default_rng(0))


def still(world: VectorWorld) -> Floats:
    return np.zeros((1, *world.action_space.shape), np.float32)


def test_each_episode_of_a_rollout_is_begun_once(world: VectorWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int | None] = []
    reset = SimEnv.reset

    def counted(self: SimEnv, *, seed: int | None = None, options: object = None) -> object:
        begun.append(seed)
        return reset(self, seed=seed)

    monkeypatch.setattr(SimEnv, "reset", counted)
    traces = list(rollout(world, policy(world), 4, 7))
    assert len(begun) == 4
    assert None not in begun
    assert [len(trace) for trace in traces] == [HORIZON] * 4
    assert world.sealed.mark() == 4
    np.testing.assert_array_equal(world.observe().state[0], traces[-1].state[-1])


def test_a_world_that_rests_is_not_stepped_on_and_one_that_was_reset_begins_its_episodes_again(
    world: VectorWorld,
) -> None:
    list(rollout(world, policy(world), 1, 7))
    with pytest.raises(ValueError, match="call it first"):
        world.step(still(world))
    first = world.reset(1).state.copy()
    for _ in range(HORIZON):
        last = world.step(still(world))
    assert last.done.all()
    assert (world.observe().state != last.after.state).any()
    assert (world.observe().state != first).any()
    world.step(still(world))


def test_a_snapshot_wakes_a_world_that_rests(world: VectorWorld) -> None:
    world.reset(1)
    saved = world.snapshot()
    expected = world.step(still(world)).after.state
    list(rollout(world, policy(world), 1, 7))
    world.restore(saved)
    np.testing.assert_array_equal(world.step(still(world)).after.state, expected)
