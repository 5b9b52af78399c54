"""The adversary: forces within the bound, costs by hand, the constraint's arithmetic, and where it learns to push."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pushed_point import PushedPoint, Still, collected  # type: ignore[import-not-found]

from robo_reward.contracts import Estimate, Step
from robo_reward.errors import UserError
from robo_reward.pushes.forces import Adversary, Disturber
from robo_reward.pushes.worst_case import Practice, train_worst_case
from robo_reward.reward_models.disturber.adversary_update import Batch, UpdateSettings, force_loss
from robo_reward.reward_models.disturber.curriculum import Curriculum
from robo_reward.reward_models.disturber.learned_disturber import LearnedDisturber

BODIES = ("point",)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def bound_to(world: PushedPoint, **settings: Any) -> LearnedDisturber:
    given: dict[str, Any] = {"curriculum": Curriculum(10.0), "bodies": BODIES, "vertical": False, **settings}
    disturber = LearnedDisturber(**given)
    disturber.bind(world, "reward")
    disturber.begin(0)
    return disturber


def drive(disturber: LearnedDisturber, world: PushedPoint, steps: int) -> None:
    zeros = np.zeros(world.num_worlds, np.float32)
    for _ in range(steps):
        world.apply_force(disturber.force(world.observe()))
        transition = world.step(np.zeros((world.num_worlds, 1), np.float32))
        disturber.on_step(Step(transition, Estimate(zeros, zeros, zeros, zeros), transition.env_reward))


def test_it_keeps_the_contracts() -> None:
    disturber = bound_to(PushedPoint())
    assert isinstance(disturber, Disturber)
    assert isinstance(disturber, Adversary)


def test_forces_act_on_the_chosen_body_within_the_bound() -> None:
    world = PushedPoint(num_worlds=64)
    disturber = bound_to(world, lever=0.1)
    world.reset(0)
    force = disturber.force(world.observe())
    assert force.shape == (64, 2, 6)
    assert not force[:, 1].any()
    assert not force[:, :, 2].any()
    # torques count as the force at the lever
    magnitude = np.linalg.norm(np.concatenate([force[:, 0, :2], force[:, 0, 3:] / 0.1], axis=1), axis=1)
    assert (magnitude < 10.0).all()
    assert magnitude.max() > 4.0


def test_forces_are_chosen_in_the_axes_of_the_states_of_whoever_is_pushed() -> None:
    class Facing(PushedPoint):
        def headings(self) -> np.ndarray[Any, Any]:
            return np.array([0.0, np.pi / 2])

    world = Facing(num_worlds=2)
    disturber = bound_to(world)
    world._x[:] = 0.3
    disturber.hold(10.0, explore=False)
    with torch.no_grad():
        disturber.nets.actor[-1].bias.copy_(torch.tensor([1.0, 0.0]))  # type: ignore[operator, union-attr]
    ahead, aside = disturber.force(world.observe())[:, 0, :2]
    assert ahead == pytest.approx([10.0 * np.tanh(1.0), 0.0], abs=0.3)
    assert aside == pytest.approx([-ahead[1], ahead[0]], abs=1e-6)
    # another world, which does not turn
    disturber.hold(10.0, explore=False, world=PushedPoint(num_worlds=2))
    assert disturber.force(world.observe())[:, 0, :2] == pytest.approx(np.array([ahead, ahead]), abs=1e-6)


def test_the_warm_up_pushes_nobody_and_the_ramp_is_straight() -> None:
    curriculum = Curriculum(limit=100.0, first=0.2, warmup=10, ramp=100)
    assert [curriculum.bound(steps) for steps in (0, 9, 10, 60, 110, 999)] == pytest.approx([0, 0, 20, 60, 100, 100])
    world = PushedPoint(num_worlds=4)
    disturber = bound_to(world, curriculum=Curriculum(10.0, warmup=8))
    world.reset(0)
    drive(disturber, world, 2)
    assert not np.any(world.pushed)
    untouched = np.ones((2, 4), np.float32)
    before = {k: v.clone() for k, v in disturber.nets.actor.state_dict().items()}
    metrics = disturber.on_rollout(collected(untouched, 0.9))
    assert (untouched == 1.0).all()
    assert metrics["force_newtons"] == 0.0
    assert metrics["lambda"] == disturber.multiplier.value == 1.0
    assert all(torch.equal(v, before[k]) for k, v in disturber.nets.actor.state_dict().items())
    drive(disturber, world, 1)
    assert np.any(world.pushed[-1])
    # two more steps of four worlds, which all fall in one; the last two begin in the warm-up and push in the second
    for falls, first, row, steps in ((1e-3, 12, 0, 12), (1.0, 12, 0, 20), (1e-3, 4, 0, 12), (1e-3, 4, 1, 8)):
        disturber.curriculum = Curriculum(10.0, warmup=8, falls=falls)
        disturber.begin(0)
        disturber.steps = first
        drive(disturber, world, 2)
        disturber._seen.terminated[row][:] = True
        disturber.on_rollout(collected(np.ones((2, 4), np.float32), 0.9))
        assert disturber.steps == steps


def test_cost_is_the_missing_share_and_a_fall_goes_on_costing() -> None:
    world = PushedPoint(num_worlds=2)
    disturber = bound_to(world)
    world.reset(0)
    world._x[:], world._v[:] = [0.5, 0.99], [0.0, 5.0]
    world.apply_force(disturber.force(world.observe()))
    world._force[:] = 0.0
    transition = world.step(np.zeros((2, 1), np.float32))
    zeros = np.zeros(2, np.float32)
    disturber.on_step(Step(transition, Estimate(zeros, zeros, zeros, zeros), transition.env_reward))
    assert disturber._seen.cost[0] == pytest.approx([0.5, 1.0])
    # mean of 0.5 and 1 + 1 / (1 - 0.9)
    assert disturber.on_rollout(collected(np.zeros((1, 2), np.float32), 0.9))["cost"] == pytest.approx((0.5 + 11.0) / 2)


def test_a_blown_up_simulation_earns_the_disturber_nothing() -> None:
    world = PushedPoint(num_worlds=8, breaks=0.0)
    disturber = bound_to(world)
    world.reset(0)
    drive(disturber, world, 1)
    assert world.nan_resets == 8
    assert not disturber._seen.cost[0].any()
    strict = bound_to(PushedPoint(num_worlds=8, breaks=0.0), max_nan_resets=7)
    strict._watch._world.reset(0)  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="max_nan_resets=7"):
        drive(strict, strict._watch._world, 1)  # type: ignore[arg-type]


def test_one_rollout_moves_lambda_by_the_ratio_constraint() -> None:
    world = PushedPoint(num_worlds=16)
    disturber = bound_to(world, eta=0.01)
    world.reset(0)
    drive(disturber, world, 5)
    cost, force = np.mean(disturber._seen.cost), np.mean(disturber._seen.force)
    falls = np.sum(disturber._seen.terminated)
    assert falls == 0
    advantage = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    before = advantage.copy()
    metrics = disturber.on_rollout(collected(advantage, 0.9))
    assert metrics["slack"] == pytest.approx(0.01 * force - cost)
    assert metrics["slack"] < 0
    assert disturber.multiplier.value == pytest.approx(1.0 - 0.1 * metrics["slack"])
    assert metrics["ratio"] == pytest.approx(cost / force)
    assert metrics["ratio_per_newton"] == pytest.approx(cost / (10.0 * force))
    assert not np.allclose(advantage, before)


@pytest.mark.parametrize("constraint", ["force", "none"])
def test_the_rivals_leave_the_policy_alone(constraint: Any) -> None:
    world = PushedPoint(num_worlds=16)
    disturber = bound_to(world, constraint=constraint, mean_force=0.1)
    world.reset(0)
    drive(disturber, world, 5)
    advantage = np.ones((5, 16), np.float32)
    metrics = disturber.on_rollout(collected(advantage, 0.9))
    assert (advantage == 1.0).all()
    grown = disturber.multiplier.value > 1.0
    assert grown == (constraint == "force")  # it pushed harder than a tenth
    assert (metrics["slack"] == 0.0) == (constraint == "none")


def test_the_gradient_prefers_costly_forces() -> None:
    world = PushedPoint(num_worlds=4)
    disturber = bound_to(world)
    states = torch.zeros(2, 2)
    raw = torch.tensor([[0.5, 0.0], [-0.5, 0.0]])
    with torch.no_grad():
        log_prob = disturber.nets.forces(states).log_prob(raw)
    batch = Batch(states, raw, log_prob, torch.tensor([1.0, -1.0]), torch.zeros(2, 2))
    force_loss(disturber.nets, batch, torch.arange(2), UpdateSettings(entropy=0.0)).backward()
    last = disturber.nets.actor[-1]
    assert last.bias.grad[0] < 0  # type: ignore[union-attr, index]
    assert last.bias.grad[1].abs() < 1e-6  # type: ignore[union-attr, index]


def test_it_learns_to_push_the_point_away_from_the_middle() -> None:
    world = PushedPoint(num_worlds=64, horizon=20)
    disturber = LearnedDisturber(
        Curriculum(10.0), UpdateSettings(hold=5), bodies=BODIES, constraint="none", vertical=False
    )
    disturber.bind(world, "reward")
    train_worst_case(disturber, world, Still(), 10.0, Practice(64 * 20 * 60, 20), 0)
    disturber.hold(10.0, explore=False)
    world.reset(5)
    world._x[:32], world._x[32:] = -0.2, 0.2
    push = disturber.force(world.observe())[:, 0, 0]
    assert push[:32].max() < -2.0
    assert push[32:].min() > 2.0


def test_where_forces_earn_too_little_a_high_eta_stops_them() -> None:
    pushed = {}
    for eta in (0.01, 50.0):
        world = PushedPoint(num_worlds=64, horizon=20)
        disturber = LearnedDisturber(
            Curriculum(10.0),
            UpdateSettings(hold=5, entropy=0.0),
            bodies=BODIES,
            eta=eta,
            vertical=False,
            fall_steps=0.0,
        )
        disturber.bind(world, "reward")
        train_worst_case(disturber, world, Still(), 10.0, Practice(64 * 20 * 40, 20), 0)
        disturber.hold(10.0, explore=False)
        world.reset(5)
        pushed[eta] = float(np.linalg.norm(disturber.force(world.observe())[:, 0], axis=1).mean())
    assert pushed[50.0] < 0.5 * pushed[0.01]


def test_it_resumes_where_it_was() -> None:
    def trained(rounds: int, disturber: LearnedDisturber, world: PushedPoint, first: int = 0) -> None:
        for number in range(first, rounds):
            disturber.begin(number)
            world.reset(number)
            drive(disturber, world, 4)
            disturber.on_rollout(collected(np.zeros((4, 8), np.float32), 0.9))

    whole_world, split_world = PushedPoint(num_worlds=8), PushedPoint(num_worlds=8)
    whole, half = bound_to(whole_world, unpushed=0.25), bound_to(split_world, unpushed=0.25)
    trained(4, whole, whole_world)
    trained(2, half, split_world)
    other = bound_to(split_world, unpushed=0.25)
    other.restore(half.dump())
    trained(4, other, split_world, first=2)
    for name, value in whole.nets.state_dict().items():
        assert torch.equal(value, other.nets.state_dict()[name]), name
    for name, value in whole.calm.state_dict().items():
        assert torch.equal(value, other.calm.state_dict()[name]), name
    assert (whole.multiplier.value, whole.steps) == (other.multiplier.value, other.steps)


def test_rewards_above_the_bound_are_counted_and_said() -> None:
    world = PushedPoint(num_worlds=4)
    disturber = bound_to(world, reward_bound=0.1)
    world.reset(0)
    with pytest.warns(UserWarning, match=r"hook.reward_bound=0\.1"):
        drive(disturber, world, 1)
    assert disturber.on_rollout(collected(np.zeros((1, 4), np.float32), 0.9))["above_bound"] == 4


def test_an_oracle_free_run_is_costed_by_its_own_reward() -> None:
    world = PushedPoint(num_worlds=2)
    disturber = LearnedDisturber(Curriculum(1.0), bodies=BODIES, reward_bound=4.0)
    disturber.bind(world, "none")
    disturber.begin(0)
    world.reset(0)
    world.apply_force(disturber.force(world.observe()))
    zeros = np.zeros(2, np.float32)
    paid = np.array([1.0, 3.0], np.float32)
    disturber.on_step(Step(world.step(np.zeros((2, 1), np.float32)), Estimate(zeros, zeros, zeros, zeros), paid))
    assert disturber._seen.cost[0] == pytest.approx([0.75, 0.25])


def test_worlds_without_a_known_bound_ask_for_one() -> None:
    world = PushedPoint()
    world.task_reward_bound = None
    with pytest.raises(UserError, match=r"hook\.reward_bound"):
        bound_to(world)


def test_a_learner_that_collected_something_else_is_a_fault() -> None:
    disturber = bound_to(PushedPoint())
    with pytest.raises(ValueError, match="saw 0 steps"):
        disturber.on_rollout(collected(np.zeros((3, 1), np.float32), 0.9))


def test_an_adversary_that_is_held_pushes_everybody_in_other_worlds_too() -> None:
    disturber = bound_to(PushedPoint(num_worlds=4), unpushed=0.5)
    other = PushedPoint(num_worlds=6)
    other.reset(0)
    disturber.hold(10.0, explore=True)
    assert np.abs(disturber.force(other.observe())).sum(axis=(1, 2)).min() > 0.0
