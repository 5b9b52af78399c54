"""Shaped returns telescope through resets, chunk ends and refits; order and number of worlds change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_reward.build import build_transforms
from robo_reward.contract_tests import frame_transition, observe_frames
from robo_reward.contracts import Estimate, Flags, Observation, Transition
from robo_reward.line_world import VIEW, LineReward, LineWorld, brightness
from robo_reward.reward_models.transforms.chunks import chunk_rewards
from robo_reward.reward_models.transforms.gold import Gold
from robo_reward.reward_models.transforms.normaliser import Normaliser
from robo_reward.reward_models.transforms.potential import Potential
from robo_reward.reward_stack import RewardStack
from robo_reward.rewarded_env import RewardedEnv
from robo_reward.trace import Trace
from robo_reward.transform_kinds import nature_of

CONFIGS = Path(hydra.utils.get_object("robo_reward.configs").__file__).parent


@cache
def compose(name: str) -> Any:
    with hydra.initialize_config_module("robo_reward.configs", version_base="1.3"):
        return hydra.compose("train", [f"transform={name}"]).transform


def stepwise() -> list[str]:
    """The chains in which every world is by itself."""
    found = []
    for name in sorted(path.stem for path in (CONFIGS / "transform").glob("*.yaml")):
        chain = build_transforms(compose(name))
        if chain and all(nature_of(t).scope == "step" for t in chain):
            found.append(name)
    return found


class TellsAll(LineReward):
    """The line's reward with every entry of an estimate, each another function of the brightness."""

    spread_of = 3

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        return _all(super().begin(first, fresh))

    def estimate(self, transition: Transition) -> Estimate:
        return _all(super().estimate(transition))

    def estimate_episode(self, trace: Trace) -> Estimate:
        return _all(super().estimate_episode(trace))


def _all(seen: Estimate) -> Estimate:
    x = seen.progress
    return replace(seen, success=x * x, uncertainty=0.3 * (1 - x), match=2 * x - 1)


def episode(seed: int, steps: int, terminated: bool = False) -> Trace:
    """A random walk on the line, a frame at every step."""
    rng = np.random.default_rng(seed)
    place = np.clip(0.4 + np.cumsum(rng.normal(0, 0.15, steps + 1)), 0, 1)
    return Trace(
        task="go right",
        state=place[:, None].astype(np.float32),
        action=rng.uniform(-1, 1, (steps, 1)).astype(np.float32),
        frames={VIEW: brightness(place)},
        frame_steps=np.arange(steps + 1),
        fps=10.0,
        source="policy",
        terminated=terminated,
        truncated=not terminated,
    )


def stepped(stack: RewardStack, episodes: Sequence[Trace]) -> np.ndarray:
    """Rewards (N, T) of N equally long episodes, side by side."""
    rows = [(e, 0) for e in episodes]
    stack.begin(observe_frames(rows), np.ones(len(rows), bool))
    paid = []
    for _ in range(len(episodes[0])):
        before = observe_frames(rows)
        rows = [(e, k + 1) for e, k in rows]
        paid.append(stack.step(frame_transition(before, observe_frames(rows), rows)).reward)
    return np.stack(paid, 1)


# --- telescoping ------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=4),
    st.integers(1, 3),
    st.integers(0, 99),
    st.sampled_from([0.9, 0.99, 1.0]),
)
def test_through_the_vector_environments_own_resets(
    ends: list[tuple[int, bool]], worlds: int, seed: int, gamma: float
) -> None:
    """What a learner is shown by the VecEnv, summed with its discount: gamma^T phi_T - phi_0 in every episode."""

    class Never(LineReward):
        """No success, so that the base reward pays nothing."""

        def begin(self, first: Observation, fresh: Flags) -> Estimate:
            return _never(super().begin(first, fresh))

        def estimate(self, transition: Transition) -> Estimate:
            return _never(super().estimate(transition))

    env = RewardedEnv(LineWorld(worlds, ends=ends), RewardStack(Never(), [Gold(once=True), Potential(gamma)]), seed)
    state = env.reset()
    first, sums, ages, finished = state[:, 0].copy(), np.zeros(worlds), np.zeros(worlds, int), 0
    rng = np.random.default_rng(seed)
    for _ in range(30):
        env.step_async(rng.uniform(-1, 1, (worlds, 1)).astype(np.float32))
        state, rewards, dones, infos = env.step_wait()
        sums += gamma**ages * rewards
        ages += 1
        for i in np.flatnonzero(dones):
            last = gamma ** ages[i] * infos[i]["terminal_observation"][0] if infos[i]["TimeLimit.truncated"] else 0.0
            assert sums[i] == pytest.approx(last - first[i], abs=0.01)  # pictures have 256 levels
            sums[i], ages[i], first[i] = 0.0, 0, state[i, 0]
            finished += 1
    assert finished >= worlds * 3


def _never(seen: Estimate) -> Estimate:
    return replace(seen, success=np.zeros_like(seen.success))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 30), st.integers(1, 9), st.sampled_from([0.8, 0.99, 1.0]), st.booleans(), st.integers(0, 99))
def test_through_chunks_whose_last_is_cut_short(
    steps: int, chunk: int, gamma: float, terminated: bool, seed: int
) -> None:
    trace = episode(seed, steps, terminated)
    stack = RewardStack(TellsAll(), [Gold(weight=0.0, once=True), Potential(gamma)])
    reward = stack.price(trace).reward
    assert reward is not None
    earned, discounts = chunk_rewards(reward, gamma, chunk)
    phi = np.round(255 * trace.state[:, 0]) / 255
    last = 0.0 if terminated else gamma**steps * phi[-1]
    assert len(earned) == -(-steps // chunk)
    weights = np.concatenate([[1.0], np.cumprod(discounts)[:-1]])
    assert (weights * earned).sum() == pytest.approx(last - phi[0], abs=1e-4)
    for k, value in enumerate(earned[:-1]):
        start = k * chunk
        assert value == pytest.approx(gamma**chunk * phi[start + chunk] - phi[start], abs=1e-4)


def test_through_a_model_that_changes_in_between() -> None:
    """The old potential is the one that was computed when its state was met, never recomputed."""
    trace, scale = episode(4, 12), [1.0]

    class Drifts(TellsAll):
        def estimate(self, transition: Transition) -> Estimate:
            scale[0] *= 0.9  # refitted at every step
            seen = super().estimate(transition)
            return replace(seen, progress=(scale[0] * seen.progress).astype(np.float32))

    stack = RewardStack(Drifts(), [Gold(weight=0.0, once=True), Potential(0.95)])
    paid = stepped(stack, [trace])[0]
    phi = np.round(255 * trace.state[:, 0]) / 255
    expected = 0.95**12 * (0.9**12 * phi[-1]) - phi[0]
    assert (0.95 ** np.arange(12) * paid).sum() == pytest.approx(expected, abs=1e-4)


# --- order and number of worlds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", stepwise())
def test_order_and_number_of_worlds_change_nothing(name: str) -> None:
    episodes = [episode(seed, 11) for seed in range(5)]
    config = compose(name)

    def price(order: Sequence[int]) -> np.ndarray:
        return stepped(RewardStack(TellsAll(), build_transforms(config)), [episodes[k] for k in order])

    together, order = price(range(5)), [3, 0, 4, 2, 1]
    assert price(order) == pytest.approx(together[order], abs=1e-6)
    for k in range(5):
        assert price([k])[0] == pytest.approx(together[k], abs=1e-6)


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("name", stepwise())
def test_worlds_that_restart_out_of_step_change_nothing(name: str, stride: int) -> None:
    """World 0 alone and beside worlds that restart every 2 and every 5 steps, the model looking every few steps."""

    def rewards(worlds: int) -> list[float]:
        world = LineWorld(worlds, ends=[(12, False), (2, False), (5, False)])
        stack = RewardStack(TellsAll(stride), build_transforms(config))
        stack.begin(world.reset(0), np.ones(worlds, bool))
        paid = []
        for action in np.random.default_rng(5).uniform(-1, 1, (12, 1)).astype(np.float32):
            step = stack.step(world.step(np.repeat(action[None], worlds, 0)))
            paid.append(float(step.reward[0]))
            if step.transition.done.any():
                stack.begin(world.observe(), step.transition.done)
        return paid

    config = compose(name)
    assert rewards(3) == pytest.approx(rewards(1), abs=1e-5)


@pytest.mark.parametrize("name", ["min_form", "gated"])
def test_an_episodes_price_does_not_depend_on_its_batch(name: str) -> None:
    stack = RewardStack(TellsAll(), build_transforms(compose(name)))
    group = [episode(seed, 6 + seed) for seed in range(4)]
    for alone, beside in zip(group, stack.price_group(group[::-1])[::-1], strict=True):
        assert stack.price(alone).reward == pytest.approx(beside.reward, abs=1e-6)


def test_a_groups_order_does_not_matter() -> None:
    stack = RewardStack(TellsAll(), build_transforms(compose("stratified")))
    group = [episode(seed, 9) for seed in range(5)]
    forward, backward = stack.price_group(group), stack.price_group(group[::-1])[::-1]
    for one, other in zip(forward, backward, strict=True):
        assert one.reward == pytest.approx(other.reward, abs=1e-6)


def test_a_running_normaliser_sees_a_batch_in_any_order() -> None:
    """Its statistics are of all worlds, so worlds do share them, but their order says nothing."""
    episodes = [episode(seed, 11) for seed in range(5)]
    chain = lambda: [*build_transforms(compose("level")), Normaliser(0.9)]  # noqa: E731
    stack = RewardStack(TellsAll(), chain())
    together = stepped(stack, episodes)
    assert stepped(RewardStack(TellsAll(), chain()), episodes[::-1]) == pytest.approx(together[::-1], abs=1e-5)


def test_statistics_survive_a_resume() -> None:
    """Half of the episodes, a new stack with the old one's state, the other half: as if it had been one."""
    first, second = [episode(seed, 7) for seed in range(2)], [episode(seed, 7) for seed in range(2, 4)]
    chain = lambda: [*build_transforms(compose("level")), Normaliser(0.9)]  # noqa: E731
    unbroken, resumed, forgetful = (RewardStack(TellsAll(), chain()) for _ in range(3))
    stepped(unbroken, first)
    resumed.load_state(unbroken.state())
    expected = stepped(unbroken, second)
    assert stepped(resumed, second) == pytest.approx(expected, abs=1e-6)
    assert stepped(forgetful, second) != pytest.approx(expected, abs=1e-3)
