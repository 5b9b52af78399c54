"""The World contract on LIBERO: tasks in turn, sealed success, snapshots, workers, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from robo_reward.envs.libero.world import LiberoWorld, make_world
from robo_reward.errors import UserError

pytestmark = pytest.mark.usefixtures("assets")


@pytest.fixture(scope="module")
def walking() -> LiberoWorld:
    return make_world("libero_object", [0, 1], num_worlds=1, starts="shipped", horizon=2, height=32, width=32)


def idle(world: LiberoWorld) -> np.ndarray:
    return np.zeros((world.num_worlds, 7), np.float32)


def test_episodes_walk_through_the_tasks(walking: LiberoWorld) -> None:
    soup, cheese = (
        ("pick up the alphabet soup and place it in the basket",),
        ("pick up the cream cheese and place it in the basket",),
    )
    walking.keep_final(["image"])
    assert walking.reset(0).task == soup
    walking.step(idle(walking))
    end = walking.step(idle(walking))
    assert end.truncated.all()
    assert (end.before.task, end.after.task, walking.observe().task) == (soup, soup, cheese)
    assert not np.array_equal(end.after.views["image"], walking.observe().views["image"])
    assert np.isnan(end.env_reward).all()
    assert not walking.annotated_success().any()
    assert walking.name == "libero_object/0+1"
    assert walking.stored_starts == (50, 50)


def test_snapshots_remember_the_task(walking: LiberoWorld) -> None:
    walking.reset(1)
    walking.step(idle(walking))
    kept = walking.snapshot()
    action = np.full((1, 7), 0.4, np.float32)
    once = walking.step(action).after.state
    walking.step(action)  # now within the next task's episode
    back = walking.restore(kept)
    assert back.task == ("pick up the alphabet soup and place it in the basket",)
    np.testing.assert_array_equal(walking.step(action).after.state, once)


def test_described_as_the_benchmark_has_it() -> None:
    world = make_world("libero_object", 0, starts="shipped")
    assert (world.horizon, world.fps, world.state_size, world.name) == (280, 20.0, 8, "libero_object/0")
    assert world.action_space.shape == (7,)
    first = world.reset(0)
    assert {v: first.views[v].shape for v in world.view_names} == dict.fromkeys(("image", "image2"), (1, 128, 128, 3))
    assert isinstance(world.stand_in_visuals, bool)
    world.close()


def test_workers_make_no_difference() -> None:
    states = []
    for workers in ("in_process", "subprocess"):
        world = make_world("libero_object", 0, num_worlds=2, workers=workers, height=32, width=32)  # type: ignore[arg-type]
        world.reset(4)
        for _ in range(3):
            world.step(np.full((2, 7), 0.3, np.float32))
        states.append((world.observe().state, world.observe().views["image"]))
        world.close()
    np.testing.assert_array_equal(states[0][0], states[1][0])
    np.testing.assert_array_equal(states[0][1], states[1][1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"starts": "shiped"}, "did you mean 'shipped'"),
        ({"timing": "now"}, "unknown timing 'now'"),
        ({"meshes": "lite"}, "unknown kind of meshes"),
        ({"suite": "libero_gaol"}, "did you mean 'libero_goal'"),
        ({"views": ("wrist",)}, "unknown view 'wrist'"),
        ({"evaluation": {"starts": "move"}}, "did you mean 'moved'"),
        ({"joint_noise": -0.1}, "joint_noise=-0.1 must be within 0 and 0.5 radians"),
        ({"target_shift": 3.0}, "target_shift=3.0 must be within 0 and 0.5 metres"),
        ({"target_shift": float("nan")}, "target_shift=nan must be within"),
        ({"horizon": 0}, "env.horizon=0 and env.action_repeat=1 must be 1 or more"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_world(**{"suite": "libero_object", **settings})


def test_bodies_that_a_task_lacks_are_refused_and_no_others(walking: LiberoWorld) -> None:
    """The second task's scene has no salad dressing; both have a hand."""
    hand, dressing = (walking.bodies.index(name) for name in ("robot0_right_hand", "salad_dressing_1_main"))
    force = np.zeros((1, len(walking.bodies), 6))
    for number, pushed in ((0, hand), (0, dressing), (1, hand)):
        walking.begin_at(number)
        walking.reset(0)
        force[:] = 0.0
        force[0, pushed, 0] = 1.0
        walking.apply_force(force)
        walking.step(idle(walking))
    force[0, dressing, 0] = 1.0
    walking.apply_force(force)
    with pytest.raises(
        UserError, match="has no body 'salad_dressing_1_main' that could be pushed: name bodies that all"
    ):
        walking.step(idle(walking))


def test_an_episodes_number_decides_its_task(walking: LiberoWorld) -> None:
    cheese = ("pick up the cream cheese and place it in the basket",)
    walking.begin_at(3)
    assert walking.reset(0).task == cheese
    second = walking.observe().state
    walking.begin_at(1)
    assert walking.reset(0).task == cheese
    assert not np.array_equal(walking.observe().state, second), "its first shipped state, after its second"
    assert walking.reset(0).task != cheese, "a number holds for one reset"
    assert walking.tasks[1:] == cheese
    assert walking.places().shape == (1, 6)
