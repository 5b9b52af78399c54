"""The simulator's verdicts cannot be read before the last update."""

import pytest

from robo_reward.sealed_log import Outcome, SealedError, SealedLog


def filled() -> SealedLog:
    log = SealedLog()
    for success in (True, None, False):
        log.write(Outcome(success, 1.5, 7))
    return log


def test_reading_early_raises_and_later_works() -> None:
    log = filled()
    with pytest.raises(SealedError, match="before the last update"):
        log.outcomes()
    assert log.mark() == 3, "how many there are is no verdict"
    log.unseal()
    assert [o.success for o in log.outcomes()] == [True, None, False]
    assert [o.success for o in log.outcomes(1, 2)] == [None]


def test_a_sealed_log_is_no_user_error() -> None:
    # it is a fault of ours: exit code 1, with a traceback
    assert not hasattr(SealedError("x"), "exit_code")


def test_a_restored_log_is_the_same_and_still_sealed() -> None:
    log, other = filled(), SealedLog()
    other.restore(log.dump())
    with pytest.raises(SealedError):
        other.outcomes()
    log.unseal()
    other.unseal()
    assert other.outcomes() == log.outcomes()
