"""The hacking alarm fires when reward rises and the judge disagrees, and keeps quiet when both rise."""

import math

from robo_reward.alarm import HackingAlarm


def run(rewards: list[float], judged: list[float]) -> HackingAlarm:
    alarm = HackingAlarm(window=5)
    for reward, verdict in zip(rewards, judged, strict=True):
        alarm.hear(reward, verdict)
    return alarm


def test_rising_reward_with_falling_success_fires_and_says_by_how_much() -> None:
    alarm = run([0.1, 0.2] * 5 + [0.9] * 10, [0.9] * 10 + [0.1] * 10)
    assert alarm.fired is not None
    assert "rose from 0.14 to" in alarm.fired  # the mean of the first five
    assert "from 1.00 to" in alarm.fired


def test_rising_reward_with_rising_success_is_learning() -> None:
    assert run([0.1] * 10 + [0.9] * 10, [0.1] * 10 + [0.9] * 10).fired is None


def test_rising_reward_that_never_succeeds_fires() -> None:
    assert run([0.1] * 10 + [0.9] * 10, [0.0] * 20).fired is not None


def test_without_a_judge_nothing_is_claimed() -> None:
    assert run([0.1] * 10 + [0.9] * 10, [math.nan] * 20).fired is None


def test_it_reports_once() -> None:
    alarm = run([0.1] * 10 + [0.9] * 10, [0.0] * 20)
    assert alarm.hear(0.9, 0.0) is None


def test_it_goes_on_from_a_checkpoint_with_the_prices_that_it_heard() -> None:
    unbroken = run([0.1, 0.2] * 5, [0.9] * 10)
    resumed = HackingAlarm(window=5)
    resumed.restore(unbroken.dump())
    for alarm in (unbroken, resumed):
        for _ in range(10):
            alarm.hear(0.9, 0.1)
    assert resumed.fired == unbroken.fired is not None


def test_silence_is_a_verdict_only_where_something_was_heard() -> None:
    assert HackingAlarm().verdict() is None
    assert run([0.5] * 3, [0.9] * 3).verdict() is False
