"""What each transform pays, by hand, and what shaping must never do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_reward.chain_check import pays_unbounded_level
from robo_reward.contracts import Estimate, Floats, Observation, RewardTransform, Transition
from robo_reward.errors import UserError
from robo_reward.reward_models.transforms.absorbing import Absorbing
from robo_reward.reward_models.transforms.accumulated import Accumulated
from robo_reward.reward_models.transforms.clip import Clip
from robo_reward.reward_models.transforms.gain import Gain
from robo_reward.reward_models.transforms.gold import Gold
from robo_reward.reward_models.transforms.level import Level
from robo_reward.reward_models.transforms.potential import Potential


def estimate(progress: float = 0, gain: float = 0, success: float = 0, spread: float = 0) -> Estimate:
    return Estimate(*(np.asarray([v], np.float32) for v in (progress, gain, success, spread)))


def pay(transform: RewardTransform, seen: Sequence[Estimate], terminated: bool = False) -> list[float]:
    """The rewards of one episode whose estimates are ``seen``, the first at its start."""
    transform.begin(seen[0], np.ones(1, bool))
    nothing = Observation({}, np.zeros((1, 1), np.float32), ("x",))
    zero: Floats = np.zeros(1, np.float32)
    paid = []
    for step, now in enumerate(seen[1:]):
        ends = np.asarray([terminated and step == len(seen) - 2])
        paid.append(float(transform(zero, Transition(nothing, zero[:, None], nothing, zero, ends, ~ends), now)[0]))
    return paid


def test_potential_golden_values() -> None:
    paid = pay(Potential(gamma=0.99), [estimate(p) for p in (0, 0.2, 0.5, 0.9, 1)])
    assert paid == pytest.approx([0.198, 0.295, 0.391, 0.09], abs=1e-6)
    assert sum(0.99**k * r for k, r in enumerate(paid)) == pytest.approx(0.960596, abs=1e-6)


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=30),
    st.sampled_from([0.9, 0.98, 0.99, 1.0]),
    st.booleans(),
)
def test_shaping_telescopes(progress: list[float], gamma: float, terminated: bool) -> None:
    paid = pay(Potential(gamma=gamma), [estimate(p) for p in progress], terminated)
    last = 0.0 if terminated else gamma ** (len(progress) - 1) * progress[-1]
    assert sum(gamma**k * r for k, r in enumerate(paid)) == pytest.approx(last - progress[0], abs=1e-4)


def test_gain_pays_the_change_of_progress() -> None:
    assert pay(Gain(weight=2), [estimate(p) for p in (0.1, 0.4, 0.3)]) == pytest.approx([0.6, -0.2], abs=1e-6)


def test_accumulated_golden_values() -> None:
    seen = [estimate(), *(estimate(gain=g) for g in (0.5, 0.5, -0.5, 1.0))]
    assert pay(Accumulated("grm"), seen) == pytest.approx([0.5, 0.75, 0.375, 1.0])
    with pytest.raises(UserError, match="unknown recursion rule"):
        Accumulated("gmr")  # type: ignore[arg-type]


def test_gold_wants_consecutive_steps() -> None:
    seen = [estimate(success=p) for p in (0.9, 0.9, 0.2, 0.8, 0.7, 0.9)]
    assert pay(Gold(threshold=0.5, consecutive=2), seen) == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(("more", "last"), [({}, 1.0), ({"once": True}, 1.0), ({"gamma": 0.9}, 10.0)])
def test_gold_pays_a_success_in_which_the_episode_terminates_at_once(more: dict[str, Any], last: float) -> None:
    """No later step could agree, and with a discount it counts as lasting: 1 + 0.9 + 0.81 + ... = 10."""
    seen = [estimate(success=p) for p in (0.1, 0.2, 0.9)]
    assert pay(Gold(consecutive=4, **more), seen, terminated=True) == pytest.approx([0, last])
    assert pay(Gold(consecutive=4, **more), seen) == [0, 0], "its time was up: two more steps may follow"
    assert pay(Gold(consecutive=4, **more), [*seen, estimate(success=0.4)], terminated=True) == [0, 0, 0]


def test_gold_that_lasts_needs_a_discount_below_one() -> None:
    with pytest.raises(UserError, match=r"gamma=1\.5 must be at least 0 and at most 1"):
        Gold(gamma=1.5)
    seen = [estimate(success=p) for p in (0.1, 0.9)]
    assert pay(Gold(gamma=1.0), seen, terminated=True) == [1]
    assert pays_unbounded_level([Gold(gamma=1.0)]) == pays_unbounded_level([Gold()]) == "Gold"
    assert pays_unbounded_level([Gold(gamma=0.9)]) is pays_unbounded_level([Gold(once=True)]) is None
    assert pays_unbounded_level([Gold(), Absorbing(0.9)]) is None


def test_gold_can_be_paid_once_in_an_episode() -> None:
    gold = Gold(consecutive=1, weight=2, once=True)
    seen = [estimate(success=p) for p in (0.1, 0.9, 0.9, 0.2, 0.8)]
    assert pay(gold, seen) == [2, 0, 0, 0]
    assert pay(gold, seen) == [2, 0, 0, 0]  # a fresh episode pays again
    with pytest.raises(UserError, match=r"threshold=1\.5"):
        Gold(threshold=1.5)


def test_potential_of_chunks_and_its_bounds() -> None:
    paid = pay(Potential(gamma=0.9, chunk=2), [estimate(p) for p in (0.2, 0.6, 1)])
    assert paid == pytest.approx([0.81 * 0.6 - 0.2, 0.81 * 1 - 0.6], abs=1e-6)
    assert pay(Potential(gamma=0.9), [estimate(0.2), estimate(0.6)], terminated=True) == pytest.approx([-0.2])
    for wrong in ({"gamma": 0.0}, {"gamma": 1.1}, {"chunk": 0}):
        with pytest.raises(UserError, match="transform potential"):
            Potential(**wrong)  # type: ignore[arg-type]


def test_level_pays_the_estimate_less_its_uncertainty() -> None:
    seen = [estimate(), estimate(0.5, spread=0.1), estimate(0.1, spread=0.3)]
    assert pay(Level(), seen) == pytest.approx([0.5, 0.1])
    assert pay(Level(weight=2, conservatism=1), seen) == pytest.approx([0.8, 0])


def test_level_of_what_the_model_does_not_give() -> None:
    with pytest.raises(UserError, match="gives no match"):
        pay(Level("match"), [estimate(), estimate()])
    with pytest.raises(UserError, match="did you mean 'progress'"):
        Level("progres")  # type: ignore[arg-type]


def test_clip_bounds_what_came_before() -> None:
    nothing = Observation({}, np.zeros((1, 1), np.float32), ("x",))
    reward = np.asarray([-3.0], np.float32)
    none = np.zeros(1, bool)
    clipped = Clip(-1, 1)(reward, Transition(nothing, reward[:, None], nothing, reward, none, none), estimate())
    assert clipped.tolist() == [-1.0]
    with pytest.raises(UserError, match="low < high"):
        Clip(1, 1)
