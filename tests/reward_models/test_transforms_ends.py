"""What an episode's end does to a reward: a time limit is no termination, and nothing leaks into the next episode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hydra
import numpy as np
import pytest

from robo_reward.build import build_transforms
from robo_reward.contracts import Estimate, Observation, RewardTransform, Transition
from robo_reward.line_world import VIEW, LineReward, brightness
from robo_reward.reward_models.transforms.absorbing import Absorbing
from robo_reward.reward_models.transforms.completion import Completion
from robo_reward.reward_models.transforms.gated import OutcomeGate
from robo_reward.reward_models.transforms.gold import Gold
from robo_reward.reward_models.transforms.hierarchy import Product
from robo_reward.reward_models.transforms.level import Level
from robo_reward.reward_models.transforms.normaliser import Normaliser
from robo_reward.reward_models.transforms.potential import Potential
from robo_reward.reward_models.transforms.stratified import Stratified
from robo_reward.reward_stack import RewardStack
from robo_reward.trace import Trace

TIME_IS_UP = [False, True]
"""Of two worlds the first terminates and the second one's time is up."""


def estimates(progress: Sequence[float] = (0, 0), success: Sequence[float] = (0, 0)) -> Estimate:
    still = np.zeros(len(progress), np.float32)
    return Estimate(np.asarray(progress, np.float32), still, np.asarray(success, np.float32), still)


def end(transform: RewardTransform, reward: Sequence[float], seen: Estimate, goes_on: bool = False) -> list[float]:
    """Rewards of the last step of both worlds, or of one that goes on."""
    nothing = Observation({}, np.zeros((2, 1), np.float32), ("x",) * 2)
    zero, up = np.zeros(2, np.float32), np.asarray(TIME_IS_UP)
    ends = (~up & (not goes_on), up & (not goes_on))
    paid = np.asarray(reward, np.float32)
    priced: list[float] = transform(paid, Transition(nothing, zero[:, None], nothing, zero, *ends), seen).tolist()
    return priced


def test_only_a_termination_lasts() -> None:
    assert end(Absorbing(0.9), [0.5, 0.5], estimates()) == pytest.approx([5, 0.5], abs=1e-5)


def test_running_out_of_time_costs_no_terminal_penalty() -> None:
    piece = Completion(terminal=2.0)
    piece.begin(estimates(), np.ones(2, bool))
    assert end(piece, [0, 0], estimates(progress=[0.3, 0.3])) == pytest.approx([0.3 - 2, 0.3])
    assert end(Product({"progress": [0, 1]}, terminal=-2.0), [0, 0], estimates(progress=[0.3, 0.3])) == pytest.approx(
        [-2, 0.3]
    )


@pytest.mark.parametrize("once", [False, True])
def test_success_before_a_reset_counts_for_nothing_after_it(once: bool) -> None:
    """Both worlds have seen one success; the first is reset by its world, so that it needs two more."""
    gold, seen = Gold(consecutive=2, once=once), estimates(success=[0.9, 0.9])
    gold.begin(estimates(), np.ones(2, bool))
    assert end(gold, [0, 0], seen, goes_on=True) == [0, 0]
    gold.begin(estimates(), np.asarray([True, False]))
    assert end(gold, [0, 0], seen, goes_on=True) == [0, 1]
    assert end(gold, [0, 0], seen, goes_on=True) == [1, 0 if once else 1]


@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.9])
def test_the_normaliser_discounts_returns_by_its_gamma(gamma: float) -> None:
    piece = Normaliser(gamma=gamma)
    piece.begin(estimates(), np.ones(2, bool))
    returns, seen = np.zeros(2), []
    for reward in ([1.0, 3.0], [2.0, -1.0], [0.0, 4.0]):
        end(piece, reward, estimates())
        returns = np.add(gamma * returns, reward)
        seen.append(returns)
        assert piece.deviation == pytest.approx(float(np.std(seen)), abs=1e-5)


@pytest.mark.parametrize(("words", "gamma"), [([], 0.98), (["learner=ppo"], 0.99), (["learner.sac.gamma=0.9"], 0.9)])
def test_the_normalisers_gamma_is_the_learners(words: list[str], gamma: float) -> None:
    with hydra.initialize_config_module("robo_reward.configs", version_base="1.3"):
        config: Any = hydra.compose("train", ["transform=normaliser", *words])
    piece: Any = build_transforms(config.transform)[-1]
    piece.begin(estimates(), np.ones(2, bool))
    for reward in ([1, 3], [1, 3]):
        end(piece, reward, estimates())
    first = np.asarray([1.0, 3.0])
    assert piece.deviation == pytest.approx(float(np.std([first, (1 + gamma) * first])), abs=1e-5)


def test_a_group_is_verified_by_its_ends() -> None:
    """The first episode looked like a success on its way and ended as a failure, however much it was paid."""
    state, frames = np.zeros((4, 1), np.float32), np.arange(4)
    trace = Trace("x", state, np.zeros((3, 1), np.float32), {}, frames, 10.0, "policy")
    rows = [[0, 0.9, 0.9, 0.1], [0, 0, 0, 0.9], [0, 0, 0, 0.1]]
    seen = [(trace, Estimate(*[np.asarray(row, np.float32)] * 4)) for row in rows]
    dense = [np.full(3, value, np.float32) for value in (9.0, 0.1, 0.0)]
    ends = [paid[-1] for paid in Stratified(threshold=0.5).price(dense, seen)]
    assert ends == pytest.approx([0.1, 0.9, -0.1])


@pytest.mark.parametrize("final", [0.1, 0.8])
@pytest.mark.parametrize(("whole", "left"), [(True, 0.0), (False, 1.0)], ids=["whole episodes", "bootstrapped"])
def test_a_potential_beside_what_prices_whole_episodes_leaves_nothing_behind(
    final: float, whole: bool, left: float
) -> None:
    """Nothing is bootstrapped after such an episode, so what the shaping adds must be -Phi_0 whatever was reached."""
    steps, gamma = 10, 0.9
    places = np.linspace(0.2, final, steps + 1)
    trace = Trace(
        "go", np.zeros((steps + 1, 1), np.float32), np.zeros((steps, 1), np.float32), {VIEW: brightness(places)},
        np.arange(steps + 1), 10.0, "policy",
    )  # fmt: skip
    objective: list[Any] = [Level(), OutcomeGate()] if whole else [Level()]
    plain, shaped = (RewardStack(LineReward(), [*objective, *more]) for more in ([], [Potential(gamma)]))
    added = shaped.price(trace).reward - plain.price(trace).reward  # type: ignore[operator]
    seen = LineReward().estimate_episode(trace).progress
    discounts = gamma ** np.arange(steps)
    assert (discounts * added).sum() == pytest.approx(left * gamma**steps * seen[-1] - seen[0], abs=1e-5)
