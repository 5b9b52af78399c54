"""Whether a reward paid those that succeeded, by hand; and that nobody may ask before the end."""

from __future__ import annotations

import numpy as np
import pytest

from robo_reward.reward_truth import auroc, told_apart
from robo_reward.sealed_log import Outcome, SealedError, SealedLog


def test_rewards_are_held_against_the_verdicts() -> None:
    sealed = SealedLog()
    for success in (True, False, False, True):
        sealed.write(Outcome(success, 0.0, 10))
    earned = [(3, 0.9), (0, 0.4), (1, 0.4), (2, 0.1)]
    with pytest.raises(SealedError):
        told_apart(earned, sealed)
    sealed.unseal()
    told = told_apart(earned, sealed)
    # of four pairs three are in order and one is a tie
    assert told == {
        "reward_auroc": pytest.approx(0.875), "reward_of_successes": pytest.approx(0.65),
        "reward_of_failures": pytest.approx(0.25), "rewarded_episodes": 4, "rewarded_successes": 2,
    }  # fmt: skip


def test_one_kind_alone_tells_nothing() -> None:
    assert auroc(np.ones(3), np.zeros(0)) is None
    sealed = SealedLog()
    sealed.write(Outcome(False, 0.0, 10))
    sealed.unseal()
    told = told_apart([(0, 0.5)], sealed)
    assert (told["reward_auroc"], told["reward_of_successes"], told["reward_of_failures"]) == (None, None, 0.5)


def test_episodes_without_a_test_of_success_are_no_failures() -> None:
    sealed = SealedLog()
    for success in (None, True, None):
        sealed.write(Outcome(success, 0.0, 10))
    sealed.unseal()
    told = told_apart([(0, 0.1), (1, 0.9), (2, 0.2)], sealed)
    assert (told["rewarded_episodes"], told["reward_of_failures"], told["reward_of_successes"]) == (1, None, 0.9)
    assert told_apart([(0, 0.1), (2, 0.2)], sealed) == {}
