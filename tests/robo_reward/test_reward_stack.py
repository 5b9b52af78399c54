"""Pricing per step, with a stride, and of whole episodes; objectives; one world's reset is nobody else's business."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_reward.contract_tests import frame_transition, observe_frames
from robo_reward.contracts import Estimate, Flags, Needs, Observation, Step
from robo_reward.errors import UserError
from robo_reward.explorers import RandomPolicy
from robo_reward.line_world import VIEW, LineReward, LineWorld
from robo_reward.reward_models.env_reward import EnvReward
from robo_reward.reward_models.hops import RULES, Rule
from robo_reward.reward_models.transforms.accumulated import Accumulated
from robo_reward.reward_models.transforms.gain import Gain
from robo_reward.reward_models.transforms.level import Level
from robo_reward.reward_models.transforms.potential import Potential
from robo_reward.reward_stack import RewardStack, interpolate
from robo_reward.rollout import rollout
from robo_reward.trace import Trace


def walk(world: LineWorld, stack: RewardStack, steps: int, seed: int = 0) -> list[Step]:
    """Random actions, priced per step through automatic resets."""
    rng = np.random.default_rng(seed)
    stack.begin(world.reset(seed), np.ones(world.num_worlds, bool))
    priced = []
    for _ in range(steps):
        action = rng.uniform(-1, 1, (world.num_worlds, 1)).astype(np.float32)
        priced.append(stack.step(world.step(action)))
        if priced[-1].transition.done.any():
            stack.begin(world.observe(), priced[-1].transition.done)
    return priced


def random_trace(stride: int = 1, seed: int = 0, **world: object) -> Trace:
    line = LineWorld(**world)  # type: ignore[arg-type]
    policy = RandomPolicy(line.action_space, np.random.default_rng(seed))
    return next(rollout(line, policy, 1, seed, views=(VIEW,), stride=stride))


def test_shaping_alone_is_no_objective() -> None:
    with pytest.raises(UserError, match="no objective"):
        RewardStack(LineReward(), [Potential()])
    assert RewardStack(LineReward(), [Level(weight=0.5), Potential()]).base_reward == "0.5*progress"
    assert RewardStack(EnvReward("success"), [Potential()]).base_reward == "env_sparse"


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(1, 7), st.booleans()), min_size=1, max_size=4),
    st.integers(1, 3),
    st.integers(0, 99),
    st.sampled_from([0.9, 0.99]),
)
def test_shaped_returns_telescope_through_resets(
    ends: list[tuple[int, bool]], worlds: int, seed: int, gamma: float
) -> None:
    """Every finished episode of every world: gamma^T phi_T - phi_0, phi_T counting 0 only after a termination."""
    world = LineWorld(worlds, ends=ends, oracle="success")
    stack = RewardStack(EnvReward("success"), [Potential(gamma=gamma)])
    stack.model = stack._looks.model = LineReward()  # progress of the picture; the base reward stays out of the sums
    stack.base_reward = ""
    sums, ages = np.zeros(worlds), np.zeros(worlds, int)
    first = np.zeros(worlds)
    finished = 0
    for step in walk(world, stack, 25, seed):
        t = step.transition
        for i in range(worlds):
            if ages[i] == 0:
                first[i] = float(t.before.views[VIEW][i].mean() / 255)
            sums[i] += gamma ** ages[i] * step.reward[i]
            ages[i] += 1
            if t.done[i]:
                last = 0.0 if t.terminated[i] else gamma ** ages[i] * float(t.after.views[VIEW][i].mean() / 255)
                assert sums[i] == pytest.approx(last - first[i], abs=1e-4)
                sums[i], ages[i] = 0.0, 0
                finished += 1
    assert finished >= worlds * (25 // 7)


@pytest.mark.parametrize("transform", [Level(), Gain(), Accumulated("grm")])
def test_a_causal_model_is_paid_the_same_per_step_and_per_episode(transform: Level | Gain | Accumulated) -> None:
    trace = random_trace(horizon=9)
    stack = RewardStack(LineReward(), [transform])
    whole = stack.price(trace).reward
    stack.begin(observe_frames([(trace, 0)]), np.ones(1, bool))
    stepped = []
    for k in range(len(trace)):
        before, after = observe_frames([(trace, k)]), observe_frames([(trace, k + 1)])
        stepped.append(float(stack.step(frame_transition(before, after, [(trace, k + 1)])).reward[0]))
    assert whole == pytest.approx(stepped, abs=1e-6)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_accumulated_hops_are_paid_the_same_per_step_and_per_episode_at_any_stride(stride: int, rule: Rule) -> None:
    """At every step, between looks as well: a hop counts once, at the look that found it."""
    whole_trace = random_trace(horizon=10, seed=stride)
    stack = RewardStack(LineReward(stride), [Accumulated(rule)])
    whole = stack.price(whole_trace.every(stride)).reward
    stack.begin(observe_frames([(whole_trace, 0)]), np.ones(1, bool))
    stepped = []
    for k in range(10):
        before, after = observe_frames([(whole_trace, k)]), observe_frames([(whole_trace, k + 1)])
        step = frame_transition(before, after, [(whole_trace, k + 1)])
        stepped.append(float(stack.step(replace(step, truncated=np.asarray([k == 9]))).reward[0]))
    assert whole == pytest.approx(stepped, abs=1e-6)
    assert np.ptp(stepped) > 0.01


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_other_worlds_resets_change_nothing(stride: int) -> None:
    """World 0 alone and beside a world that restarts every 2 steps: the same rewards."""

    def rewards(worlds: int) -> list[float]:
        world = LineWorld(worlds, ends=[(8, False), (2, True)])
        stack = RewardStack(LineReward(stride), [Level(), Gain(), Potential(), Accumulated()])
        actions = np.random.default_rng(5).uniform(-1, 1, (8, 1)).astype(np.float32)
        stack.begin(world.reset(0), np.ones(worlds, bool))
        paid = []
        for action in actions:
            step = stack.step(world.step(np.repeat(action[None], worlds, 0)))
            paid.append(float(step.reward[0]))
            if step.transition.done.any():
                stack.begin(world.observe(), step.transition.done)
        return paid

    assert rewards(2) == pytest.approx(rewards(1), abs=1e-6)


def test_between_looks_the_estimate_is_held() -> None:
    world = LineWorld(horizon=5)
    steps = walk(world, RewardStack(LineReward(stride=2), [Level()]), 5)
    true = [float(s.transition.after.views[VIEW].mean() / 255) for s in steps]
    start = float(steps[0].transition.before.views[VIEW].mean() / 255)
    # looks after steps 2 and 4, and at the end of the episode
    assert [float(s.reward[0]) for s in steps] == pytest.approx([start, true[1], true[1], true[3], true[4]], abs=1e-6)
    assert [float(s.estimate.gain[0]) for s in steps[:3]] == pytest.approx([0, true[1] - start, 0], abs=1e-6)


def test_whole_episodes_are_interpolated_between_frames() -> None:
    five = np.asarray([0.0, 0.3, 0.9], np.float32)
    seen = Estimate(five, np.asarray([0, 0.3, 0.6], np.float32), five, five, match=five)
    dense = interpolate(seen, np.asarray([0, 3, 5]), 6)
    assert dense.progress == pytest.approx([0, 0.1, 0.2, 0.3, 0.6, 0.9, 0.9], abs=1e-6)
    assert dense.gain == pytest.approx([0, 0, 0, 0.3, 0, 0.6, 0], abs=1e-6)
    assert dense.match is not None
    assert dense.match == pytest.approx(dense.progress)
    with pytest.raises(UserError, match="without kept frames"):
        interpolate(seen, np.zeros(0, np.int64), 6)


def test_rewards_of_an_episode_follow_its_frames() -> None:
    trace = random_trace(stride=3, horizon=9)
    stack = RewardStack(LineReward(stride=3), [Level()])
    priced = stack.price(trace)
    assert priced.estimate is not None
    assert priced.reward is not None
    assert priced.reward[[2, 5, 8]] == pytest.approx(priced.estimate.progress[1:], abs=1e-6)
    assert priced.reward[3] == pytest.approx((2 * priced.reward[2] + priced.reward[5]) / 3, abs=1e-6)


def test_pricing_an_episode_leaves_running_ones_alone() -> None:
    def rewards(meanwhile: bool) -> list[float]:
        world, stack = LineWorld(2, horizon=6), RewardStack(LineReward(), [Gain(), Accumulated()])
        trace = random_trace(horizon=4)
        stack.begin(world.reset(0), np.ones(2, bool))
        paid = []
        for _ in range(6):
            if meanwhile:
                stack.price(trace)
            paid += stack.step(world.step(np.ones((2, 1), np.float32))).reward.tolist()
        return paid

    assert rewards(True) == rewards(False)


def test_the_worlds_own_reward_passes_through() -> None:
    trace = random_trace(horizon=4, oracle="reward")
    stack = RewardStack(EnvReward("reward"), [])
    assert trace.env_reward is not None
    assert stack.price(trace).reward == pytest.approx(trace.env_reward)
    with pytest.raises(UserError, match="build the world with oracle=reward"):
        stack.price(replace(trace, env_reward=None))


def test_a_match_that_nobody_gives_is_refused_before_anything_is_stepped() -> None:
    class NoMatch(LineReward):
        gives_match = False

    with pytest.raises(
        UserError, match=r"reward_model=no_match does not give: use transform=potential .* transform=level"
    ):
        RewardStack(NoMatch(), [Level("match", 0.4), Level("success", 0.6)])
    RewardStack(NoMatch(), [Level("success")])
    RewardStack(LineReward(), [Level("match")])  # a model that does not say is asked when it prices


class Wrong(LineReward):
    """Says what ``change`` makes of the truth."""

    def __init__(self, change: Callable[[Estimate], Any]) -> None:
        super().__init__()
        self._change = change

    def begin(self, first: Observation, fresh: Flags) -> Any:
        return self._change(super().begin(first, fresh))

    def estimate_episode(self, trace: Trace) -> Any:
        return self._change(super().estimate_episode(trace))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: replace(e, success=np.full_like(e.success, np.nan)), "success=nan"),
        (lambda e: replace(e, progress=e.progress + 85), "progress=85"),
        (lambda e: replace(e, gain=e.gain - 2), "gain=-2"),
        (lambda e: e.at(slice(1, None)), r"progress of shape \(\d+,\) for"),
        (lambda e: replace(e, progress=e.progress[:, None]), "progress of shape"),
        (lambda e: replace(e, progress=0.5), "progress of type float"),
        (lambda e: (0.5, 0.0), "tuple in place of an Estimate"),
    ],
)
def test_nothing_is_paid_for_what_breaks_the_contract(change: Callable[[Estimate], Any], words: str) -> None:
    stack = RewardStack(Wrong(change), [Level()])
    with pytest.raises(UserError, match=f"the reward model 'wrong' gave {words}"):
        stack.begin(LineWorld().reset(0), np.ones(LineWorld().num_worlds, bool))
    with pytest.raises(UserError, match=f"the reward model 'wrong' gave {words}"):
        stack.price(random_trace())


@pytest.mark.parametrize("stride", [0, -1, 2.5, True])
def test_a_stride_that_is_no_number_of_steps_is_refused(stride: Any) -> None:
    with pytest.raises(UserError, match="must be a whole number of steps"):
        Needs(stride=stride)
