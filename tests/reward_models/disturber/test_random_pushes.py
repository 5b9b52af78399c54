"""The baseline: pushes last as long as asked, come at random, and stay within the bound."""

from __future__ import annotations

import numpy as np
import pytest
from pushed_point import PushedPoint, collected  # type: ignore[import-not-found]

from robo_reward.contracts import Estimate, Step, Transition
from robo_reward.errors import UserError
from robo_reward.pushes.forces import Disturber
from robo_reward.reward_models.disturber.curriculum import Curriculum
from robo_reward.reward_models.disturber.random_pushes import RandomPushes


def played(pushes: RandomPushes, world: PushedPoint, steps: int, seed: int = 0) -> np.ndarray:
    pushes.bind(world, "none")
    pushes.begin(seed)
    world.reset(0)
    zeros = np.zeros(world.num_worlds, np.float32)
    for _ in range(steps):
        world.apply_force(pushes.force(world.observe()))
        transition = world.step(np.zeros((world.num_worlds, 1), np.float32))
        pushes.on_step(Step(transition, Estimate(zeros, zeros, zeros, zeros), transition.env_reward))
    return np.stack(world.pushed)[:, :, 0]


def test_a_push_lasts_its_time_and_keeps_its_direction() -> None:
    world = PushedPoint(num_worlds=32, horizon=10**6)
    world._breaks = np.inf
    # ten decisions a second: 0.3 s are 3 of them; nobody falls at such small forces
    force = played(RandomPushes(Curriculum(1e-3), seconds=0.3, every=1.0, bodies=("point",)), world, 200)
    lengths = []
    for i in range(32):
        acts = np.abs(force[:, i]).sum(1) > 0
        edges = np.flatnonzero(np.diff(np.r_[0, acts.astype(int), 0]))
        runs = list(zip(edges[::2], edges[1::2], strict=True))
        for begin, end in runs[:-1]:
            lengths.append(end - begin)
            if end - begin == 3:
                assert np.allclose(force[begin, i], force[end - 1, i])
    assert len(lengths) > 200
    assert set(np.asarray(lengths) % 3) == {0}  # two in a row make six
    assert np.mean(np.asarray(lengths) == 3) > 0.8
    # one second of pause on average, 0.3 of push
    assert np.mean(np.abs(force).sum(2) > 0) == pytest.approx(0.3 / 1.3, abs=0.06)


def test_magnitudes_are_uniform_up_to_the_bound_and_the_seed_repeats_them() -> None:
    world = PushedPoint(num_worlds=64, horizon=5)
    pushes = RandomPushes(Curriculum(1e-3), seconds=0.1, every=0.1, bodies=("point",), vertical=False)
    assert isinstance(pushes, Disturber)
    force = played(pushes, world, 60)
    magnitude = np.linalg.norm(force, axis=2)
    magnitude = magnitude[magnitude > 0]
    assert magnitude.max() <= 1e-3
    assert magnitude.mean() == pytest.approx(5e-4, rel=0.1)
    assert not force[:, :, 2:].any()
    again = PushedPoint(num_worlds=64, horizon=5)
    assert np.array_equal(force, played(pushes, again, 60))


def test_the_policy_is_left_alone_and_progress_is_kept() -> None:
    pushes = RandomPushes(Curriculum(1.0, warmup=1000), bodies=("point",))
    played(pushes, PushedPoint(num_worlds=4), 5)
    advantage = np.ones((5, 4), np.float32)
    assert pushes.on_rollout(collected(advantage, 0.9)) == {"force_newtons": 0.0, "bound_newtons": 0.0, "falls": 0.0}
    assert (advantage == 1).all()
    other = RandomPushes(Curriculum(1.0))
    other.restore(pushes.dump())
    assert other.steps == 20


def test_impossible_times_are_refused() -> None:
    with pytest.raises(UserError, match=r"hook\.seconds=0"):
        RandomPushes(Curriculum(1.0), seconds=0)
    with pytest.raises(UserError, match="every=nan"):
        RandomPushes(Curriculum(1.0), every=float("nan"))


def test_some_worlds_are_never_pushed() -> None:
    pushes = RandomPushes(Curriculum(1e-3), seconds=0.1, every=0.1, bodies=("point",), unpushed=0.25)
    force = np.abs(played(pushes, PushedPoint(num_worlds=8), 60)).sum(axis=(0, 2))
    assert (force[:2] == 0.0).all()
    assert (force[2:] > 0.0).all()


def test_the_bound_waits_while_too_many_fall() -> None:
    bounds = {}
    for push in (0.0, 1000.0):  # which carries all of them over the edge
        world = PushedPoint(num_worlds=8, horizon=50)
        pushes = RandomPushes(Curriculum(10.0, ramp=1000, falls=0.05), bodies=("point",), unpushed=0.5)
        pushes.bind(world, "none")
        world.reset(0)
        zeros = np.zeros(8, np.float32)
        for _ in range(10):
            pushes.force(world.observe())
            world.apply_force(np.full((8, 2, 6), push))
            transition = world.step(np.zeros((8, 1), np.float32))
            pushes.on_step(Step(transition, Estimate(zeros, zeros, zeros, zeros), transition.env_reward))
        metrics = pushes.on_rollout(collected(np.zeros((10, 8), np.float32), 0.99))
        # of the four that are pushed; 2 falls in 40 steps would be as many as may be
        assert (metrics["falls"] > 2) == (push > 0)
        bounds[push] = pushes.curriculum.bound(pushes.steps)
    assert bounds[0.0] == pytest.approx(10.0 * (0.2 + 0.8 * 80 / 1000))
    assert bounds[1000.0] == pytest.approx(2.0)


def test_a_bound_that_waits_does_not_fall_back_into_the_warm_up() -> None:
    # ten steps of eight worlds: five in the warm-up, five under the bound
    for falls_in, steps in (("warm-up", 80), ("pushed", 40)):
        world = PushedPoint(num_worlds=8, horizon=50)
        pushes = RandomPushes(Curriculum(10.0, warmup=40, ramp=1000, falls=0.05), bodies=("point",))
        pushes.bind(world, "none")
        world.reset(0)
        zeros, none, all_fall = np.zeros(8, np.float32), np.zeros(8, bool), np.ones(8, bool)
        for number in range(10):
            pushes.force(seen := world.observe())
            fallen = all_fall if number == {"warm-up": 4, "pushed": 5}[falls_in] else none
            transition = Transition(seen, np.zeros((8, 1), np.float32), seen, zeros, fallen, none)
            pushes.on_step(Step(transition, Estimate(zeros, zeros, zeros, zeros), zeros))
        assert pushes.on_rollout(collected(np.zeros((10, 8), np.float32), 0.99))["falls"] == 8
        assert pushes.steps == steps
