"""Which instructions of other tasks a scene answers, and where it then says that things are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from robo_reward.envs.libero.catalogue import shipped_states, tasks_of
from robo_reward.envs.libero.facts import Facts
from robo_reward.envs.libero.other_tasks import answered, facts_of, means_the_same
from robo_reward.envs.libero.places import places
from robo_reward.envs.libero.sim import LiberoSim
from robo_reward.envs.libero.starts import start

SimOf = Callable[[str, int], LiberoSim]


def facts(goal: tuple[str, ...], kinds: dict[str, str], regions: dict[str, str] | None = None) -> Facts:
    return Facts((goal,), (), (), kinds, {"stove_1": "stove"}, regions or {})


def test_an_instruction_means_the_same_only_where_its_things_are_alone_of_their_kind() -> None:
    cup = facts(("on", "cup_1", "stove_1_top"), {"cup_1": "cup", "jar_1": "jar"}, {"stove_1_top": "stove_1"})
    there = facts(("on", "jar_1", "stove_1_top"), {"cup_1": "cup", "jar_1": "jar"}, {"stove_1_top": "stove_1"})
    twice = facts(("on", "jar_1", "stove_1_top"), {"cup_1": "cup", "cup_2": "cup"}, {"stove_1_top": "stove_1"})
    assert means_the_same(there, cup)
    assert not means_the_same(twice, cup)
    assert not means_the_same(facts(("on", "jar_1", "stove_1"), {"jar_1": "jar"}), cup)
    assert not means_the_same(facts(("on", "jar_1", "stove_1"), {"cup_1": "cup", "jar_1": "jar"}), cup)


def test_two_bowls_are_told_apart_by_their_own_scene_alone(sim_of: SimOf) -> None:
    sim_of("libero_spatial", 0)
    spatial, goal = tasks_of("libero_spatial"), tasks_of("libero_goal")
    assert answered(spatial[0], spatial) == []
    assert len(answered(goal[3], goal)) == 9


@pytest.mark.parametrize("number", [3])
def test_places_of_another_instruction_are_those_of_its_thing(sim_of: SimOf, number: int) -> None:
    sim = sim_of("libero_object", number)
    start(sim, "shipped", 0, shipped_states(sim.task), 0)
    others = answered(sim.task, tasks_of("libero_object"))
    assert len(others) == 5
    for task in others:
        told, target = places(sim, facts_of(task)), facts_of(task).target
        assert target is not None
        np.testing.assert_allclose(told[:3], sim.data.xpos[sim.robosuite.obj_body_id[target]], atol=1e-6)
        np.testing.assert_array_equal(told[3:], places(sim)[3:])
