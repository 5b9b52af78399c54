"""Every candidate plays the same number of turns, and the better verdicts win."""

from hypothesis import given
from hypothesis import strategies as st

from robo_reward.policies.audition import Audition


def test_candidates_take_turns() -> None:
    audition = Audition(["warp", "clone"], 2)
    order = []
    while (name := audition.next()) is not None:
        order.append(name)
        audition.hear(name, 0.0, 0.0)
    assert order == ["warp", "clone", "warp", "clone"]


def test_judged_successes_weigh_more_than_reward() -> None:
    audition = Audition(["warp", "clone"], 1)
    audition.hear("warp", 0.2, 1.0)
    audition.hear("clone", 0.7, 0.1)
    assert audition.score("warp") == 0.1
    assert audition.score("clone") == 1.01
    assert audition.winner() == "clone"


def test_reward_breaks_ties_and_order_breaks_the_rest() -> None:
    audition = Audition(["warp", "clone"], 1)
    audition.hear("warp", 0.6, 0.2)
    audition.hear("clone", 0.9, 0.3)
    assert audition.winner() == "clone"
    even = Audition(["warp", "clone"], 1)
    for name in ("clone", "warp"):
        even.hear(name, 0.6, 0.2)
    assert even.winner() == "warp"


@given(st.integers(1, 4), st.integers(0, 5))
def test_all_play_equally_often(candidates: int, episodes: int) -> None:
    audition = Audition([str(k) for k in range(candidates)], episodes)
    turns = 0
    while (name := audition.next()) is not None:
        audition.hear(name, 1.0, 0.0)
        turns += 1
    assert turns == candidates * episodes
    assert audition.winner() == "0"
