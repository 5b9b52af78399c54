"""Gains as hops: the array's hop is the network's label, and what is accumulated does not depend on who gave it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from robo_reward.contract_tests import frame_transition, moving_square, observe_frames
from robo_reward.contracts import Estimate, Flags, Needs, Observation, Transition
from robo_reward.gains import signed_hop, with_hops
from robo_reward.line_world import LineReward
from robo_reward.reward_models.ensemble import Ensemble
from robo_reward.reward_models.hops import hop_label
from robo_reward.reward_models.transforms.accumulated import Accumulated
from robo_reward.reward_stack import RewardStack
from robo_reward.trace import Trace
from robo_reward.traits import traits_of

SHARE = st.floats(0, 1, width=32)


class Levels:
    """Progress 0, 1/T, ... 1 along an episode of T steps, as differences or as hops."""

    def __init__(self, gives_hops: bool, stride: int = 1) -> None:
        self.needs, self.gives_hops = Needs(stride=stride), gives_hops
        self._now = self._before = np.zeros(1, np.float32)

    def _of(self, before: Any, now: Any) -> Estimate:
        zero = np.zeros_like(now)
        return Estimate(now, signed_hop(before, now) if self.gives_hops else now - before, zero, zero)

    def begin(self, first: Observation, fresh: Flags) -> Estimate:
        self._now = np.zeros(len(fresh), np.float32)
        return self._of(self._now, self._now)

    def estimate(self, transition: Transition) -> Estimate:
        before, self._now = self._now, np.minimum(self._now + np.float32(1 / 16), 1)
        return self._of(before, self._now)

    def estimate_episode(self, trace: Trace) -> Estimate:
        now = (trace.frame_steps / 16).astype(np.float32)
        return self._of(np.concatenate([now[:1], now[:-1]]), now)


@given(SHARE, SHARE)
def test_it_is_the_hop_that_networks_learn(before: float, after: float) -> None:
    label = hop_label(torch.tensor([before]), torch.tensor([after])).numpy()
    one = np.asarray([before], np.float32), np.asarray([after], np.float32)
    np.testing.assert_allclose(signed_hop(*one), label, atol=1e-6)
    zero = np.zeros(1, np.float32)
    found = with_hops(Estimate(one[1], one[1] - one[0], zero, zero), False)
    np.testing.assert_allclose(found.gain, label, atol=1e-4)
    assert with_hops(found, True) is found


@pytest.mark.parametrize("hops", [False, True])
@pytest.mark.parametrize("stride", [1, 4])
def test_what_accumulates_is_progress_whoever_gave_the_gains(hops: bool, stride: int) -> None:
    trace = moving_square(0, source="policy")
    stack = RewardStack(Levels(hops, stride), [Accumulated()])
    whole = stack.price(trace.every(stride)).reward
    assert whole is not None
    assert whole[-1] == pytest.approx(1, abs=1e-5)
    assert whole[7] == pytest.approx(0.5, abs=1e-5)
    stepped = Ensemble({"a": Levels(hops), "b": Levels(not hops)})
    assert traits_of(stepped).gives_hops
    both = RewardStack(stepped, [Accumulated()]).price(trace).reward
    assert both is not None
    assert both[7] == pytest.approx(0.5, abs=1e-5), "members are combined in one unit"


def test_stepped_differences_accumulate_too_and_reports_show_what_was_given() -> None:
    stack = RewardStack(Levels(False), [Accumulated()])
    trace = moving_square(0, source="policy")
    before, paid = observe_frames([(trace, 0)]), []
    stack.begin(before, np.ones(1, bool))
    for k in range(1, 17):
        after = observe_frames([(trace, k)])
        paid.append(stack.step(frame_transition(before, after, [(trace, k)])).reward[0])
        before = after
    assert paid == pytest.approx(np.arange(1, 17) / 16, abs=1e-5)
    given_gains = stack.price(trace).estimate
    assert given_gains is not None
    assert given_gains.gain[1:] == pytest.approx(np.full(16, 1 / 16)), "reports show what the model said"
    assert not traits_of(LineReward()).gives_hops
    assert not traits_of(Ensemble({"a": LineReward(), "b": LineReward()})).gives_hops
