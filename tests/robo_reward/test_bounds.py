"""Numbers out of range are refused before anything runs, by their own key."""

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from omegaconf import OmegaConf

from robo_reward.bounds import check_bounds, check_numbers, check_seeds, check_unit_actions
from robo_reward.errors import UserError
from robo_reward.line_world import LineWorld


@pytest.mark.parametrize(
    ("value", "bad"), [(1, False), (None, False), (0, True), ("abc", True), (1.5, True), (True, True)]
)
def test_a_bound_holds_for_whole_numbers_and_null(value: Any, bad: bool) -> None:
    config = OmegaConf.create({"negatives": {"random": value}})
    if not bad:
        check_bounds(config, {"negatives.random": 1, "not.there": 1})
        return
    with pytest.raises(UserError, match=rf"negatives\.random={value} must be a whole number of 1 or more"):
        check_bounds(config, {"negatives.random": 1})


@pytest.mark.parametrize("seeds", [5, "abc", None, [], ["a"]])
def test_evaluation_seeds_must_be_a_list_of_whole_numbers(seeds: Any) -> None:
    with pytest.raises(UserError, match=r"e\.g\. evaluation_seeds=\[1,2\]"):
        check_seeds(OmegaConf.create({"seeds": seeds}).seeds)


def test_seeds_in_a_list_are_fine() -> None:
    check_seeds(OmegaConf.create([1, 2]))


def test_worlds_with_other_actions_are_closed_and_refused() -> None:
    world = LineWorld(1)
    world.action_space = spaces.Box(-90.0, 100.0, (1,), np.float32)
    with pytest.raises(UserError, match=r"lie in -90 to 100: let the env scale them"):
        check_unit_actions(world)
    check_unit_actions(LineWorld(1))


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.5), np.int64(1)])
def test_numbers_within_their_bounds_pass(value: Any) -> None:
    check_numbers("part", least=0, most=1, size=value)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf"), None, "1", True])
def test_numbers_out_of_bounds_name_owner_key_value_and_bounds(value: Any) -> None:
    with pytest.raises(UserError, match=rf"^part: size={value} must be a finite number of 0 or more and of 1 or less$"):
        check_numbers("part", least=0, most=1, size=value)
    with pytest.raises(UserError, match=rf"^part: size={value} must be a whole number$"):
        check_numbers("part", whole=True, good=1, size=value)
