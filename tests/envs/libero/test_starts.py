"""Shipped, moved and re-drawn starts: repeatable, settled, and as far apart as they say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from robo_reward.envs.libero.catalogue import shipped_states
from robo_reward.envs.libero.places import places
from robo_reward.envs.libero.sim import LiberoSim
from robo_reward.envs.libero.starts import SHIFT, Spread, Starts, start, target_address

SimOf = Callable[[str, int], LiberoSim]


def begin(sim: LiberoSim, starts: Starts, seed: int, number: int = 0) -> np.ndarray:
    return start(sim, starts, seed, shipped_states(sim.task), number)


def target(sim: LiberoSim) -> np.ndarray:
    first = target_address(sim)
    return sim.data.qpos[first : first + 3].copy()


def test_moved_targets_lie_aside_at_the_same_height(sim_of: SimOf) -> None:
    sim = sim_of("libero_object", 0)
    begin(sim, "shipped", 0)
    shipped, arm = target(sim), sim.data.qpos[:7].copy()
    shifts = []
    for seed in range(4):
        shift = begin(sim, "moved", seed)
        np.testing.assert_allclose(target(sim) - shipped, [*shift, 0.0], atol=0.02)
        assert not sim.success()
        shifts.append(shift)
        assert 0.001 < np.abs(sim.data.qpos[:7] - arm).max() < 0.2
    assert np.abs(shifts).max() <= SHIFT
    assert np.ptp(shifts) > 0.01


def test_starts_repeat(sim_of: SimOf) -> None:
    sim = sim_of("libero_object", 0)
    for starts in ("shipped", "moved", "reset"):
        ends = []
        for _ in range(2):
            begin(sim, starts, 4, number=2)  # type: ignore[arg-type]
            ends.append(sim.state())
        np.testing.assert_array_equal(ends[0], ends[1])


def test_shipped_states_come_in_their_order(sim_of: SimOf) -> None:
    sim = sim_of("libero_goal", 7)
    states = shipped_states(sim.task)
    for number in (0, 3, len(states) + 3):
        sim.reset(0, states[number % len(states)])
        np.testing.assert_array_equal(sim.state(), states[number % len(states)])
    begin(sim, "shipped", 0, 3)
    third = sim.state()
    begin(sim, "shipped", 0, len(states) + 3)
    np.testing.assert_array_equal(sim.state(), third)


def test_resets_move_fixtures_too(sim_of: SimOf) -> None:
    sim = sim_of("libero_goal", 7)
    places = []
    for seed in (0, 1):
        begin(sim, "reset", seed)
        places.append(sim.model.body_pos.copy())
    assert 0.001 < np.abs(places[0] - places[1]).max() < 0.1


def test_tasks_without_a_target_move_the_arm_alone(sim_of: SimOf) -> None:
    sim = sim_of("libero_goal", 7)  # turn on the stove
    assert sim.facts.target is None
    assert sim.facts.goals == (("turnon", "flat_stove_1"),)
    assert not begin(sim, "moved", 0).any()


def test_what_stands_on_a_fixture_starts_there_whatever_was_reset_before(sim_of: SimOf) -> None:
    sim = sim_of("libero_spatial", 7)  # the bowl on the stove
    found = []
    for seed in (3, 8, 3):
        sim.reset(seed)
        sim.settle()
        stove = sim.data.body(next(iter(f.root_body for n, f in sim.robosuite.fixtures_dict.items() if "stove" in n)))
        assert np.linalg.norm((target(sim) - stove.xpos)[:2]) < 0.25
        found.append(sim.state())
    np.testing.assert_array_equal(found[0], found[2])


def test_resets_may_vary_arm_and_target(sim_of: SimOf) -> None:
    sim = sim_of("libero_object", 0)
    assert not begin(sim, "reset", 3).any()
    home, place = sim.data.qpos[:7].copy(), target(sim)
    shipped = shipped_states(sim.task)
    assert not start(sim, "reset", 3, shipped, 0, Spread(joints=0.02)).any()
    assert 0.001 < np.abs(sim.data.qpos[:7] - home).max() < 0.2
    np.testing.assert_allclose(target(sim), place, atol=0.005)
    shift = start(sim, "reset", 3, shipped, 0, Spread(target=0.06))
    assert 0.0 < np.abs(shift).max() <= 0.06
    np.testing.assert_allclose(target(sim) - place, [*shift, 0.0], atol=0.02)


def test_places_are_those_of_the_target_and_of_where_it_belongs(sim_of: SimOf) -> None:
    sim = sim_of("libero_object", 0)
    begin(sim, "shipped", 0)
    told = places(sim)
    np.testing.assert_allclose(told[:3], target(sim), atol=0.01)
    assert np.linalg.norm(told[3:5] - told[:2]) > 0.2, "the basket stands apart"
    stove = sim_of("libero_goal", 7)
    begin(stove, "shipped", 0)
    told = places(stove)
    np.testing.assert_array_equal(told[:3], told[3:])
