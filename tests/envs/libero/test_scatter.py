"""Rearranged LIBERO scenes: the target lies anywhere near its home, nothing sinks into anything, pictures follow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from robo_reward.envs.libero.catalogue import shipped_states
from robo_reward.envs.libero.places import places
from robo_reward.envs.libero.scatter import Scatter, _depth, _loose, reach, scatter
from robo_reward.envs.libero.sim import LiberoSim
from robo_reward.envs.libero.starts import DEPTH, start

SimOf = Callable[[str, int], LiberoSim]


def resting(sim: LiberoSim) -> np.ndarray:
    start(sim, "shipped", 0, shipped_states(sim.task), 0)
    return np.array(sim.data.qpos)


def test_the_target_is_set_aside_within_bounds_and_the_place_told_with_it(sim_of: SimOf) -> None:
    sim = sim_of("libero_object", 3)
    home = resting(sim)
    before, found = places(sim), []
    for seed in range(12):
        scatter(sim, home, np.random.default_rng(seed), Scatter())
        found.append(places(sim) - before)
    off = np.abs(found)
    assert off[:, :2].max() <= 0.08 + 1e-6
    assert (off[:, :2].max(0) > 0.03).all()
    assert off[:, 2].max() < 1e-6
    assert 0 < off[:, 3:5].max() <= 0.05 + 1e-6


def test_nothing_sinks_deeper_than_it_did(sim_of: SimOf) -> None:
    sim = sim_of("libero_spatial", 0)
    home = resting(sim)
    before = {name: _depth(sim, name) for name in _loose(sim)}
    for seed in range(5):
        scatter(sim, home, np.random.default_rng(seed), Scatter(target=0.2, others=0.2))
        assert all(_depth(sim, name) <= deep + DEPTH for name, deep in before.items())


def test_scenes_repeat_and_without_reach_stay_at_home(sim_of: SimOf) -> None:
    sim = sim_of("libero_object", 3)
    home = resting(sim)
    first = [scatter(sim, home, np.random.default_rng(4), Scatter()), sim.data.qpos.copy()][1]
    scatter(sim, home, np.random.default_rng(5), Scatter())
    assert (sim.data.qpos != first).any()
    scatter(sim, home, np.random.default_rng(4), Scatter())
    np.testing.assert_array_equal(sim.data.qpos, first)
    scatter(sim, home, np.random.default_rng(4), Scatter(target=0.0, others=0.0))
    np.testing.assert_array_equal(sim.data.qpos[9:], home[9:])


def test_the_hand_reaches_a_place_turned_as_it_was(sim_of: SimOf) -> None:
    sim = sim_of("libero_object", 3)
    resting(sim)
    turned = sim.arm.hand[1]
    place = places(sim)[:3].astype(np.float64) + np.array([0.02, -0.03, 0.1])
    reach(sim, place)
    hand, turn = sim.arm.hand
    np.testing.assert_allclose(hand, place, atol=0.005)
    np.testing.assert_allclose(turn, turned, atol=0.05)


def test_near_scenes_have_the_hand_above_the_target(sim_of: SimOf) -> None:
    sim = sim_of("libero_object", 3)
    home = resting(sim)
    off = []
    for seed in range(8):
        scatter(sim, home, np.random.default_rng(seed), Scatter(near=1.0))
        off.append(sim.arm.hand[0] - places(sim)[:3])
    assert np.abs(off)[:, :2].max() < 0.12
    assert np.min(off, 0)[2] > -0.01
    assert 0.05 < np.max(off, 0)[2] < 0.2
