"""The warp plan of a demonstration whose answer is known, and its replay in scenes that it never showed."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_reward.policies.warp_plan import hand_response, make_plan, make_plans
from robo_reward.policies.warped_replay import WarpedReplay


def _paper() -> Any:
    spec = importlib.util.spec_from_file_location("point_world", Path(__file__).with_name("point_world.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


paper = _paper()


def replay() -> WarpedReplay:
    plan = make_plan(paper.demonstration(), paper.LANDMARKS)
    return WarpedReplay(plan, paper.LANDMARKS, hand_response(paper.random_episodes(), paper.LANDMARKS))


def run(world: Any, steps: int = 120) -> float:
    """How far the object is from the goal after the replay."""
    prior = replay()
    prior.reset(np.ones(1, bool))
    for _ in range(steps):
        action, _ = prior.propose(world.state[None])
        world.step(action[0])
    return float(world.distance)


def test_the_plan_finds_contact_and_transport() -> None:
    trace = paper.demonstration()
    plan = make_plan(trace, paper.LANDMARKS)
    assert plan.moves_object
    # the object rests until contact and has moved one step's way right after it
    assert plan.contact == paper.contact_step()
    assert plan.carried[: plan.contact + 1] == pytest.approx(0)
    assert trace.success_step is not None
    assert plan.carried[trace.success_step] == pytest.approx(1)
    middle = (plan.contact + trace.success_step) // 2
    assert plan.carried[middle] == pytest.approx((middle - plan.contact) * paper.SPEED / 0.2, abs=1e-3)
    assert plan.ease[0] == 0
    assert plan.ease[plan.contact] == 1
    assert (np.diff(plan.ease) >= 0).all()


def test_the_response_is_the_inverse_of_the_speed() -> None:
    undo = hand_response(paper.random_episodes(), paper.LANDMARKS)
    np.testing.assert_allclose(undo[:3], np.eye(3) / paper.SPEED, rtol=1e-3, atol=0.05)
    assert (undo[3] == 0).all(), "the gripper does not move the hand"


def test_a_task_that_moves_nothing_aims_at_the_goal() -> None:
    world = paper.PointWorld()
    actions = paper.walk(world, paper.GOAL, -1.0)
    plan = make_plan(paper.played(actions, len(actions)), paper.LANDMARKS)
    assert not plan.moves_object
    assert plan.anchor == "goal"
    assert (plan.carried == 0).all()


def moved_goal(trace: Any, away: float) -> Any:
    """The same episode with the goal told that far beyond where the object was carried."""
    state = trace.state.copy()
    state[:, paper.LANDMARKS.goal + 1] += away
    return replace(trace, state=state)


@pytest.mark.parametrize(("away", "names"), [(0.05, ["warp"]), (0.15, ["warp", "warp_goal"]), (0.4, ["warp"])])
def test_a_goal_neither_near_nor_far_gives_two_readings(away: float, names: list[str]) -> None:
    demonstration, elsewhere = (moved_goal(paper.demonstration(), d) for d in (away, away + 0.05))
    plans = make_plans(demonstration, [elsewhere], paper.LANDMARKS)
    assert list(plans) == names
    assert plans["warp"].carried.any() == (away < 0.1)
    if len(names) == 2:
        assert plans["warp_goal"].carried.max() == pytest.approx(1)


def test_a_goal_that_goes_with_the_object_needs_no_second_reading() -> None:
    demonstration = moved_goal(paper.demonstration(), 0.15)
    assert list(make_plans(demonstration, [demonstration], paper.LANDMARKS)) == ["warp"]


def test_noise_in_the_fit_does_not_make_the_gripper_a_mover() -> None:
    rng = np.random.default_rng(3)
    episodes = [replace(e, state=e.state + rng.normal(0, 0.004, e.state.shape)) for e in paper.random_episodes(3, 30)]
    undo = hand_response(episodes, paper.LANDMARKS)
    assert (undo[3] == 0).all()
    assert (np.abs(np.diag(undo[:3])) > 0).all()


def test_the_replay_repeats_the_demonstration_in_its_own_scene() -> None:
    assert run(paper.PointWorld()) < 0.02


@given(st.integers(0, 10_000))
@settings(max_examples=12, deadline=None)
def test_the_replay_carries_a_displaced_object_to_a_displaced_goal(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shift = [rng.uniform(-0.08, 0.08, 3) * [1, 1, 0] for _ in range(2)]
    start = paper.HAND + rng.uniform(-0.03, 0.03, 3)
    assert run(paper.PointWorld(start, paper.OBJECT + shift[0], paper.GOAL + shift[1])) < 0.03


def test_worlds_do_not_mix() -> None:
    together, alone = replay(), replay()
    states = np.stack([paper.PointWorld().state, paper.PointWorld(thing=paper.OBJECT + 0.05).state])
    for _ in range(6):
        both, context = together.propose(states)
        one, _ = alone.propose(states[1:])
        np.testing.assert_allclose(both[1], one[0], atol=1e-6)
    assert context.shape == (2, WarpedReplay.context_size)
    assert (np.abs(both) <= 1).all()
    together.reset(np.array([True, False]))
    _, context = together.propose(states)
    assert context[0, 0] < context[1, 0], "a fresh world starts the plan anew, the other goes on"
