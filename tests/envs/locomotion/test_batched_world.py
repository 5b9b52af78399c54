"""The batched world keeps the World contract: batch independence, resets, snapshots, forces, blow-ups, pictures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from robo_reward.contracts import Flags, Floats, Oracle, World
from robo_reward.envs.locomotion.batched_world import BatchedWorld
from robo_reward.envs.locomotion.make_gym import make_world as make_gym_world
from robo_reward.envs.locomotion.make_quadruped import make_world
from robo_reward.errors import UserError
from robo_reward.pushes.forces import Pushable
from robo_reward.views import StaleView


def actions(steps: int, worlds: int, scale: float = 1.0) -> Floats:
    return (scale * np.random.default_rng(0).uniform(-1, 1, (steps, worlds, 12))).astype(np.float32)


def played(world: BatchedWorld, acts: Floats) -> tuple[Floats, Floats, Flags]:
    steps = [world.step(a) for a in acts]
    return (
        np.stack([s.after.state for s in steps]),
        np.stack([s.env_reward for s in steps]),
        np.stack([s.done for s in steps]),
    )


def test_it_is_a_world() -> None:
    world = make_world()
    assert isinstance(world, World)
    assert isinstance(world, Pushable)
    assert (world.horizon, world.fps) == (1000, pytest.approx(50.0))


@pytest.mark.parametrize("threads", [1, 2])
def test_worlds_do_not_depend_on_the_batch_or_the_threads(threads: int) -> None:
    """Bit for bit: world i of eight, across falls and resets, is world i of three."""
    acts = actions(120, 8)
    eight = make_world(num_worlds=8, threads=threads, oracle="reward", latency=(0.0, 0.03))
    three = make_world(num_worlds=3, threads=1, oracle="reward", latency=(0.0, 0.03))
    eight.reset(4)
    three.reset(4)
    for all_eight, all_three in zip(played(eight, acts), played(three, acts[:, :3]), strict=True):
        np.testing.assert_array_equal(all_eight[:, :3], all_three)
    assert eight.sealed.mark() > 0


def test_the_same_seed_gives_the_same_run_and_another_one_does_not() -> None:
    world = make_world(num_worlds=4, threads=2, oracle="reward")
    acts = actions(60, 4)
    first = world.reset(1).state
    run = played(world, acts)[0]
    np.testing.assert_array_equal(world.reset(1).state, first)
    np.testing.assert_array_equal(played(world, acts)[0], run)
    assert not np.array_equal(world.reset(2).state, first)


def test_ends_and_time_limits() -> None:
    world = make_world(num_worlds=6, threads=1, horizon=40, oracle="reward")
    world.reset(0)
    length = np.zeros(6, int)
    for act in actions(100, 6):
        transition = world.step(act)
        length += 1
        assert not (transition.terminated & transition.truncated).any()
        np.testing.assert_array_equal(transition.truncated, (length == 40) & ~transition.terminated)
        fresh = world.observe().state
        same = (fresh == transition.after.state).all(1)
        np.testing.assert_array_equal(same, ~transition.done)
        length[transition.done] = 0
    world.sealed.unseal()
    outcomes = world.sealed.outcomes()
    assert all(1 <= o.length <= 40 for o in outcomes)
    assert all(o.length == 40 for o in outcomes if o.success)


def test_staggered_worlds_end_their_first_episodes_at_different_times() -> None:
    """Standing robots, 40 decisions an episode: the first ones are cut short, all later ones are whole."""
    world = make_world(num_worlds=64, threads=1, horizon=40, forward=(0.0, 0.0))
    world.reset(0)
    world.stagger()
    ends: list[list[int]] = [[] for _ in range(64)]
    for step in range(1, 121):
        transition = world.step(np.zeros((64, 12), np.float32))
        assert not transition.terminated.any()
        for i in np.flatnonzero(transition.truncated):
            ends[i].append(step)
    firsts = np.array([times[0] for times in ends])
    assert firsts.min() >= 1
    assert firsts.max() <= 40
    assert len(np.unique(firsts)) > 25
    assert all((np.diff(times) == 40).all() for times in ends)
    world.sealed.unseal()
    assert sorted(o.length for o in world.sealed.outcomes())[:64] == sorted(firsts.tolist())
    world.reset(0)  # staggering holds until the next reset
    assert all(not world.step(np.zeros((64, 12), np.float32)).done.any() for _ in range(39))


def test_the_reward_is_masked_without_an_oracle_and_returns_are_sealed() -> None:
    blind = make_world(num_worlds=2, threads=1, horizon=10)
    seeing = make_world(num_worlds=2, threads=1, horizon=10, oracle="reward")
    blind.reset(0)
    seeing.reset(0)
    acts = actions(10, 2, 0.1)
    assert np.isnan(played(blind, acts)[1]).all()
    paid = played(seeing, acts)[1]
    blind.sealed.unseal()
    assert [o.env_return for o in blind.sealed.outcomes()] == pytest.approx(paid.sum(0).tolist(), rel=1e-5)


def test_success_is_tracking_without_a_fall() -> None:
    """Standing robots succeed at a command of nothing, and fail at half a metre per second."""
    for speed, expected in ((0.0, True), (0.5, False)):
        world = make_world(num_worlds=2, threads=1, horizon=50, forward=(speed, speed), oracle="success")
        world.reset(0)
        paid = played(world, np.zeros((50, 2, 12), np.float32))[1]
        world.sealed.unseal()
        assert [o.success for o in world.sealed.outcomes()] == [expected] * 2
        np.testing.assert_array_equal(paid.sum(0), [float(expected)] * 2)


def test_snapshots_bring_everything_back() -> None:
    world = make_world(num_worlds=3, threads=1, history=2, latency=(0.0, 0.04), oracle="reward", horizon=30)
    world.reset(0)
    played(world, actions(17, 3))
    kept = world.snapshot()
    seen = world.observe().state.copy()
    expected = played(world, actions(40, 3))
    assert np.array_equal(world.restore(kept).state, seen)
    for again, first in zip(played(world, actions(40, 3)), expected, strict=True):
        np.testing.assert_array_equal(again, first)


def test_ending_from_outside_touches_nobody_else() -> None:
    world = make_world(num_worlds=3, threads=1)
    world.reset(0)
    before = played(world, actions(5, 3))[0][-1]
    now = world.end(np.array([False, True, False])).state
    np.testing.assert_array_equal((now == before).all(1), [True, False, True])
    assert world.sealed.mark() == 1


@pytest.mark.parametrize("made", [make_world, partial(make_gym_world, "Ant-v5")])
def test_where_nothing_ends_nothing_happens(made: Callable[..., BatchedWorld]) -> None:
    world = made(num_worlds=2, threads=1)
    with pytest.raises(ValueError, match="reset"):
        world.end(np.array([True, False]))
    assert world.sealed.mark() == 0
    first = world.reset(0)
    assert world.end(np.zeros(2, bool)) is first
    assert world.sealed.mark() == 0


def test_a_force_changes_momentum_by_force_times_time_and_then_is_gone() -> None:
    """In the air, where nothing else pushes: 60 N for 20 ms on 12.453 kg."""
    import mujoco

    def velocity(world: BatchedWorld, index: int) -> np.ndarray:
        data = mujoco.MjData(world.sim.model)
        world.sim.show(index, world.sim.state[index], data)
        mujoco.mj_subtreeVel(world.sim.model, data)
        return np.array(data.subtree_linvel[1])

    world = make_world(num_worlds=2, threads=2, bodies=("trunk", "FL_calf"))
    world.reset(0)
    qpos, qvel = world.sim.qpos[[0, 0]].copy(), np.zeros((2, 18))
    qpos[:, 2] = 3.0
    world.sim.place(np.arange(2), qpos, qvel)
    force = np.zeros((2, 2, 6))
    force[1, :, 0] = (40.0, 20.0)
    still = np.zeros((2, 12), np.float32)
    world.apply_force(force)
    for _ in range(2):  # the second step is not pushed
        world.step(still)
        difference = velocity(world, 1) - velocity(world, 0)
        np.testing.assert_allclose(difference, [60 * 0.02 / 12.453, 0, 0], atol=1e-3)
    with pytest.raises(ValueError, match="forces must be"):
        world.apply_force(np.zeros((2, 1, 6)))
    with pytest.raises(ValueError, match="finite"):
        world.apply_force(np.full((2, 2, 6), np.nan))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_world_that_blows_up_is_reset_and_counted(threads: int) -> None:
    world = make_world(num_worlds=4, threads=threads, oracle="reward")
    world.reset(0)
    still = np.zeros((4, 12), np.float32)
    world.step(still)
    others = make_world(num_worlds=4, threads=1, oracle="reward")
    others.reset(0)
    others.step(still)
    force = np.zeros((4, 1, 6))
    force[2, 0, 0] = 1e14
    world.apply_force(force)
    transition, calm = world.step(still), others.step(still)
    np.testing.assert_array_equal(transition.truncated, [False, False, True, False])
    np.testing.assert_array_equal(world.broken, transition.truncated)
    assert not transition.terminated.any()
    assert transition.env_reward[2] == 0.0
    assert world.nan_resets == 1
    assert np.isfinite(transition.after.state).all()
    unhurt = [0, 1, 3]
    np.testing.assert_array_equal(transition.after.state[unhurt], calm.after.state[unhurt])
    assert np.isfinite(world.step(still).after.state).all()
    assert not world.broken.any()


@pytest.mark.parametrize("oracle", ["reward", "success"])
def test_an_episode_that_blew_up_is_no_success(oracle: Oracle) -> None:
    """Nobody fell, and the robot stood still as commanded: without the blow-up it is one."""
    world = make_world(num_worlds=2, threads=1, oracle=oracle, horizon=4, forward=(0.0, 0.0))
    world.reset(0)
    still = np.zeros((2, 12), np.float32)
    for _ in range(3):
        world.step(still)
    force = np.zeros((2, 1, 6))
    force[0, 0, 0] = 1e14
    world.apply_force(force)
    last = world.step(still)
    assert last.truncated.tolist() == [True, True]
    assert last.env_reward[0] == 0
    assert last.env_reward[1] > 0
    world.sealed.unseal()
    assert [one.success for one in world.sealed.outcomes()] == [False, True]


def test_a_world_that_never_recovers_ends_the_run() -> None:
    world = make_world(threads=1)
    world.reset(0)
    with pytest.raises(UserError, match="unstable in 20 episodes of one world"):
        for _ in range(20):
            world.apply_force(np.full((1, 1, 6), 1e14))
            world.step(np.zeros((1, 12), np.float32))


def test_wrong_actions_are_told() -> None:
    world = make_world(num_worlds=2, threads=1)
    with pytest.raises(ValueError, match="reset"):
        world.observe()
    world.reset(0)
    with pytest.raises(ValueError, match="actions must be"):
        world.step(np.zeros((1, 12), np.float32))
    with pytest.raises(ValueError, match="finite"):
        world.step(np.full((2, 12), np.nan, np.float32))
    with pytest.raises(ValueError, match="finite"):
        world.step(np.full((2, 12), -np.inf, np.float32))
    with pytest.raises(UserError, match="no scripted expert"):
        world.expert_action()
    with pytest.raises(UserError, match="view"):
        world.keep_final(["rear"])


def test_huge_actions_are_clipped() -> None:
    huge, full = make_world(num_worlds=2, threads=1), make_world(num_worlds=2, threads=1)
    huge.reset(0)
    full.reset(0)
    np.testing.assert_array_equal(
        huge.step(np.full((2, 12), 3e38, np.float32)).after.state,
        full.step(np.ones((2, 12), np.float32)).after.state,
    )


def test_starts_do_not_depend_on_who_ended_before_or_on_a_restore() -> None:
    """They are drawn ahead, for many worlds at once, but follow from seed, world and episode alone."""
    one, other = make_world(num_worlds=4, threads=1), make_world(num_worlds=4, threads=1)
    one.reset(1)
    other.reset(1)
    first, everyone = np.arange(4) == 0, np.ones(4, np.bool_)
    for where in (first, everyone, everyone):
        one.end(where)
    other.end(everyone)
    other.restore(other.snapshot())
    other.end(everyone)
    np.testing.assert_array_equal(one.sim.state[1:], other.sim.state[1:])
    other.end(first)
    np.testing.assert_array_equal(one.sim.state, other.sim.state)


def test_pictures_are_lazy_and_an_episodes_last_one_is_not_the_next_ones_first() -> None:
    world = make_world(num_worlds=2, threads=1, horizon=3, height=24, width=32)
    first = world.reset(0)
    still = np.zeros((2, 12), np.float32)
    world.step(still)
    with pytest.raises(StaleView):
        first.views["side"]
    assert world.frames_rendered == 0
    world.step(still)
    transition = world.step(still)
    assert transition.truncated.all()
    last, fresh = transition.after.views["side"], world.observe().views["side"]
    assert last.shape == (2, 24, 32, 3)
    assert not np.array_equal(last, fresh)
    assert world.frames_rendered == 4
    world.close()
