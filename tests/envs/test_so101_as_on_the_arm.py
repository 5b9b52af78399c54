"""What the twin shares with the arm behind its guard: where goals may lie, and what a person at the table sees."""

from __future__ import annotations

import numpy as np
import pytest

from robo_reward.data.scenes import collect_scenes
from robo_reward.envs.so101_arm import HOME
from robo_reward.envs.so101_env import make_world
from robo_reward.envs.so101_plant import So101Plant
from robo_reward.envs.so101_tasks import find_task
from robo_reward.errors import UserError


def test_goals_stay_off_the_ends_as_behind_the_guard() -> None:
    """Expert, start and bounds alike: what the guard would not send is not learned."""
    world = make_world("reach", views=(), control="goals", margin=20.0)
    low, high = np.array([-90, -80, -76.8, -75, -137.2, 0]), np.array([90, 80, 76.8, 75, 142.8, 100])
    np.testing.assert_allclose(world.action_space.low, low, atol=1e-4)
    np.testing.assert_allclose(world.action_space.high, high, atol=1e-4)
    seen = world.reset(3)
    assert seen.state[0, 3] <= 75 + 1e-4, "HOME has the wrist at 90 degrees"
    for _ in range(30):
        goal = world.expert_action()
        assert (goal[0] >= low - 1e-4).all()
        assert (goal[0] <= high + 1e-4).all()
        world.step(goal)
    world.close()


def test_no_joint_starts_at_one_value() -> None:
    world = make_world("reach", views=())
    starts = np.concatenate([world.reset(seed).state for seed in range(20)])
    assert (starts.std(0) > 1).all(), (
        "a joint that rests in all demonstrations makes a policy that an encoder tick moves"
    )
    world.close()


def test_pushes_and_places_for_demonstrations() -> None:
    goals, steps = make_world("push", views=(), control="goals"), make_world("push", views=(), control="steps")
    np.testing.assert_allclose(goals.push_scale, [6, 6, 6, 6, 3, 0])
    np.testing.assert_allclose(steps.push_scale, [3, 3, 3, 3, 1.5, 0], err_msg="60 degrees a second are 2 a decision")
    goals.reset(0)
    (places,) = goals.places()
    task = find_task("push")
    env = goals._vec.envs[0].unwrapped  # type: ignore[attr-defined]
    np.testing.assert_allclose(places, [*task.moved(env.data), *task.aim(env.data)], atol=1e-6)
    for world in (goals, steps):
        world.close()


def test_scenes_are_set_aside_at_random_and_told_truly() -> None:
    world = make_world("push", views=("wrist",), control="goals")
    scenes = collect_scenes(world, 30, 4)[0]
    assert scenes.places is not None
    assert (scenes.places[:, [0, 1, 3, 4]].std(0) > 0.01).all()
    hands = scenes.state[:, :4].std(0)
    assert (hands > 3).all(), "the hand is anywhere on its way, not at home"
    seen = world.rearrange(9)
    env = world._vec.envs[0].unwrapped  # type: ignore[attr-defined]
    np.testing.assert_allclose(env.arm.to_units(env.arm.angles()), seen.state[0], atol=1e-4)
    np.testing.assert_allclose(world.places()[0, :3], env.data.body("cube").xpos, atol=1e-6)
    kept = seen.state.copy()
    world.reset(1)
    np.testing.assert_array_equal(world.rearrange(9).state, kept, err_msg="the seed alone says where all stands")
    world.close()


def test_a_task_and_the_one_that_undoes_it_take_turns() -> None:
    plant = So101Plant("push", start=HOME)
    plant.turn(True)
    plant.rearrange(3)
    assert plant.left() > 0.05, "the cube lies on the disc, and away from the middle"
    assert not plant.success()
    plant.turn(False)
    assert plant.success(), "what the one has to undo, the other has done"
    plant.rearrange(3)
    assert not plant.success(), "laid out anew, the cube lies in the middle"
    plant.turn(True)
    assert plant.success()
    with pytest.raises(UserError, match="no task undoes 'reach'"):
        So101Plant("reach").turn(True)


def test_the_plant_tells_a_person_what_is_left_and_what_an_expert_would_do() -> None:
    plant = So101Plant("reach", start=HOME)
    plant.rearrange(5)
    begun = plant.left()
    goal = np.array(HOME)
    for turn in range(200):
        goal = plant.expert_goal(goal, fresh=turn == 0)
        plant.advance(1 / 30, plant.arm.follow(goal))
    assert begun > 0.05
    assert plant.left() < 0.02
    assert plant.success()
