"""Golden values of the pieces that bend, gate, multiply, scale or lower rewards, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_reward.contracts import Estimate, Observation, RewardTransform, Transition
from robo_reward.errors import UserError
from robo_reward.reward_models.transforms.absorbing import Absorbing
from robo_reward.reward_models.transforms.chunks import chunk_rewards
from robo_reward.reward_models.transforms.completion import Completion
from robo_reward.reward_models.transforms.conservative import Conservative, uncertainty_weighted, worst_case
from robo_reward.reward_models.transforms.gated import StepGate
from robo_reward.reward_models.transforms.hierarchy import Product, closeness, contrast_reward, driving_reward
from robo_reward.reward_models.transforms.normaliser import Normaliser
from robo_reward.reward_models.transforms.par import Par, preference


def estimates(**rows: Sequence[float]) -> Estimate:
    """N worlds; what is not given is 0."""
    count = len(next(iter(rows.values())))
    told = {name: np.zeros(count, np.float32) for name in ("progress", "gain", "success", "uncertainty")}
    return Estimate(**told | {name: np.asarray(row, np.float32) for name, row in rows.items()})


def transition(count: int, terminated: Sequence[bool] | None = None, action: Any = None) -> Transition:
    nothing = Observation({}, np.zeros((count, 1), np.float32), ("x",) * count)
    ends = np.zeros(count, bool) if terminated is None else np.asarray(terminated)
    acted = np.zeros((count, 1), np.float32) if action is None else np.asarray(action, np.float32)
    return Transition(nothing, acted, nothing, np.zeros(count, np.float32), ends, np.zeros(count, bool))


def apply(
    transform: RewardTransform, reward: Sequence[float], seen: Estimate | None = None, **step: Any
) -> list[float]:
    paid = np.asarray(reward, np.float32)
    return transform(paid, transition(len(paid), **step), seen or estimates(progress=[0] * len(paid))).tolist()


def test_par_golden_values() -> None:
    assert preference(np.asarray(2.0), [1, 2, 4]) == pytest.approx(0.450087, abs=1e-6)
    assert apply(Par([1, 2, 4]), [2, 2]) == pytest.approx([0.450087] * 2, abs=1e-6)
    assert apply(Par([0.5], steepness=8), [0.5, 1.0, -1e6, 1e6]) == pytest.approx([0.5, 0.982014, 0, 1], abs=1e-6)
    with pytest.raises(UserError, match="at least one finite reward"):
        Par([])
    with pytest.raises(UserError, match="steepness=0"):
        Par([0.0], steepness=0)


@given(st.floats(-50, 50), st.floats(0.01, 10), st.lists(st.floats(-50, 50), min_size=1, max_size=5))
def test_par_is_bounded_and_keeps_the_order(reward: float, more: float, references: list[float]) -> None:
    low, high = preference(np.asarray([reward, reward + more]), references)
    assert 0 <= low <= high <= 1


def test_ensemble_golden_values() -> None:
    members = np.asarray([1.0, 2, 3, 6])
    mean, deviation = np.asarray([members.mean()]), np.asarray([members.std()])
    assert (mean[0], deviation[0] ** 2) == pytest.approx((3, 3.5))
    assert uncertainty_weighted(mean, deviation, 0.5) == pytest.approx([1.25])
    assert uncertainty_weighted(mean, deviation, 0.1) == pytest.approx([2.65])
    assert worst_case(mean, deviation, 4) == pytest.approx([3 - np.sqrt(10.5)], abs=1e-6)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=7))
def test_no_member_lies_below_the_worst_case(members: list[float]) -> None:
    """Samuelson's inequality; of two members it is the lower one."""
    values = np.asarray(members)
    bound = worst_case(values.mean()[None], values.std()[None], len(values))[0]
    assert bound <= values.min() + 1e-6
    if len(values) == 2:
        assert bound == pytest.approx(values.min(), abs=1e-6)
    outlier = np.r_[0.0, np.ones(len(values))]
    assert worst_case(outlier.mean()[None], outlier.std()[None], len(outlier)) == pytest.approx([0.0], abs=1e-6)


def test_conservative_lowers_progress_for_what_follows() -> None:
    seen = estimates(progress=[0.8, 0.1], uncertainty=[0.4, 0.5], success=[0.3, 0.6])
    lowered = Conservative(weight=0.5).filter(seen)
    assert lowered.progress == pytest.approx([0.8 - 0.5 * 0.16, 0])
    assert lowered.success is seen.success
    assert Conservative("worst_case", members=2).filter(seen).progress == pytest.approx([0.4, 0], abs=1e-6)
    with pytest.raises(UserError, match="members=1"):
        Conservative(members=1)
    with pytest.raises(UserError, match="did you mean 'worst_case'"):
        Conservative("worst")  # type: ignore[arg-type]


def test_absorbing_pays_the_last_level_for_ever() -> None:
    paid = apply(Absorbing(0.9), [0.5, 0.5, -0.2], terminated=[True, False, True])
    assert paid == pytest.approx([5, 0.5, -2], abs=1e-5)
    assert sum(0.9**k * 0.5 for k in range(1000)) == pytest.approx(5)
    with pytest.raises(UserError, match="gamma=1"):
        Absorbing(1.0)


def test_step_gate() -> None:
    seen = estimates(progress=[0.49, 0.5, 0.9])
    assert apply(StepGate("progress", 0.5), [1, 2, -3], seen) == [0, 2, -3]
    with pytest.raises(UserError, match="threshold=0"):
        StepGate(threshold=0)
    with pytest.raises(UserError, match="unknown source"):
        StepGate("match")  # type: ignore[arg-type]


def test_completion_golden_values() -> None:
    piece = Completion({"uncertain": 0.5, "hasty": 0.2}, {"uncertain": 0.1, "hasty": 0.9}, terminal=1.0, weight=10)
    piece.begin(estimates(progress=[0.2, 0.2, 0.2]), np.ones(3, bool))
    seen = estimates(progress=[0.4, 0.4, 0.4], uncertainty=[0, 0.2, 0.2])
    assert apply(piece, [0, 0, 0], seen, action=[[0], [0], [-1]]) == pytest.approx([2, 1, 0.2], abs=1e-5)
    # what was completed before pays nothing again; a failure that ends the episode costs 1, a success does not
    seen = estimates(progress=[0.1, 0.4, 0.5], success=[0.1, 0.1, 0.9])
    assert apply(piece, [0, 0, 0], seen, terminated=[False, True, True]) == pytest.approx([0, -1, 1], abs=1e-5)
    seen = estimates(progress=[0.5, 0.4, 0.5])
    assert apply(piece, [0, 0, 0], seen) == pytest.approx([1, 0, 0], abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"penalties": {"uncertan": 0.5}}, "did you mean 'uncertain'"),
        ({"penalties": {"hasty": 1.5}, "limits": {"hasty": 1}}, r"penalties.hasty=1.5 must lie in \[0, 1\]"),
        ({"penalties": {"hasty": 0.5}}, "needs limits.hasty"),
        ({"terminal": -1}, "terminal=-1"),
    ],
)
def test_completion_refuses(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Completion(**settings)


def test_completion_wants_a_match_for_mismatches() -> None:
    piece = Completion({"mismatched": 0.5}, {"mismatched": 0.0})
    piece.begin(estimates(progress=[0]), np.ones(1, bool))
    with pytest.raises(UserError, match="gives no match"):
        apply(piece, [0], estimates(progress=[1]))
    assert apply(piece, [0], estimates(progress=[1], match=[-0.1])) == [0.5]


def test_vlm_rl_golden_values() -> None:
    """Contrast 0.01 of 0.03: 2/3; wanted speed 2/3 * 9 = 6, driven 4.5: 1 - 1.5/9."""
    semantic = contrast_reward(np.asarray(0.24), np.asarray(0.25))
    assert semantic == pytest.approx(2 / 3)
    assert contrast_reward(np.asarray([0.3, 0.1]), np.asarray([0.1, 0.3])).tolist() == [1, 0]
    factors = [closeness(np.asarray(-0.5), 2.0), closeness(np.asarray(0.1), 0.4), closeness(np.asarray(9.0), 0.4)]
    assert [float(f) for f in factors] == pytest.approx([0.75, 0.75, 0])
    assert driving_reward(semantic, np.asarray(4.5), 9.0, factors[:2]) == pytest.approx((1 - 1.5 / 9) * 0.75 * 0.75)
    assert driving_reward(semantic, np.asarray(4.5), 9.0, factors) == 0


def test_product_golden_values() -> None:
    piece = Product({"progress": [0, 1], "uncertainty": [0.4, 0]}, terminal=-10.0, weight=2)
    seen = estimates(progress=[0.5, 0.5, 0.5], uncertainty=[0.1, 0.5, 0.0], success=[0, 0, 1])
    assert apply(piece, [0, 0, 0], seen) == pytest.approx([0.75, 0, 1])
    assert apply(piece, [1, 0, 0], seen, terminated=[True, False, True]) == pytest.approx([-19, 0, 1])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"factors": {}}, "at least one factor"),
        ({"factors": {"speed": [0, 1]}}, "unknown factor"),
        ({"factors": {"progress": [1, 1]}}, "two different numbers"),
        ({"factors": {"progress": [0, 1]}, "terminal": 3}, "terminal=3 must be 0 or below"),
    ],
)
def test_product_refuses(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Product(**settings)


def test_normaliser_golden_values() -> None:
    """Returns [1, 3], then [0.5 + 1, 1.5 + 3]: the spread of those four scales the second step."""
    piece = Normaliser(gamma=0.5)
    piece.begin(estimates(progress=[0, 0]), np.ones(2, bool))
    assert apply(piece, [1, 3]) == pytest.approx([1, 3], abs=1e-5)  # std of [1, 3] is 1
    spread = float(np.std([1, 3, 1.5, 4.5]))
    assert apply(piece, [1, 3]) == pytest.approx([1 / spread, 3 / spread], abs=1e-5)
    assert piece.deviation == pytest.approx(spread)
    other = Normaliser(gamma=0.5)
    other.load_state(piece.state())
    assert other.deviation == piece.deviation
    with pytest.raises(UserError, match="limit > 0"):
        Normaliser(limit=0)


def test_normaliser_of_a_constant_leaves_it() -> None:
    piece = Normaliser(gamma=0.0, limit=2.0)
    piece.begin(estimates(progress=[0]), np.ones(1, bool))
    assert [apply(piece, [5.0]) for _ in range(3)] == [[2.0]] * 3


def test_chunk_golden_values() -> None:
    earned, discounts = chunk_rewards(np.asarray([1.0, 2, 4, 8, 16]), 0.5, 2)
    assert earned.tolist() == [2, 8, 16]
    assert discounts.tolist() == [0.25, 0.25, 0.5]
    assert chunk_rewards(np.zeros(0), 0.5, 2)[0].shape == (0,)
    with pytest.raises(UserError, match="chunk=0"):
        chunk_rewards(np.zeros(3), 0.5, 0)
